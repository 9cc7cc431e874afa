// Command gin is the produce API as one would write it with gin, kafka-go and zap.
//
// KAFKA_BOOTSTRAP_SERVERS says where the brokers are, LISTEN the address to listen on, LINGER how long a batch
// waits for company ("2ms" if absent).
package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

const (
	defaultLinger = 2 * time.Millisecond
	writeTime     = 8 * time.Second
	drainTime     = 9 * time.Second
	headersTime   = 10 * time.Second
)

// Notification is what a client may send.
type Notification struct {
	RequestID     string     `json:"request_id,omitempty" binding:"max=128"`
	TopicName     string     `json:"topic_name" binding:"required,max=249"`
	MessageBody   string     `json:"message_body,omitempty" binding:"max=10000"`
	TransactionID string     `json:"transaction_id,omitempty" binding:"max=256"`
	CustomerID    string     `json:"customer_id,omitempty" binding:"max=256"`
	Email         string     `json:"email,omitempty" binding:"required_without=Phone,omitempty,max=254,email"`
	Phone         string     `json:"phone,omitempty" binding:"omitempty,e164"`
	Key           string     `json:"key,omitempty" binding:"max=256"`
	ExpiresAt     *time.Time `json:"expires_at,omitempty"`
}

// Accepted is what it is answered once the brokers have it.
type Accepted struct {
	RequestID string `json:"request_id"`
	TopicName string `json:"topic_name"`
}

type api struct {
	writer *kafka.Writer
	log    *zap.Logger
}

func (a *api) produce(c *gin.Context) {
	var notification Notification
	if err := c.ShouldBindJSON(&notification); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	if notification.RequestID == "" {
		notification.RequestID = uuid.NewString()
	}
	message, err := record(&notification)
	if err != nil {
		c.JSON(http.StatusInternalServerError, gin.H{"error": "the message could not be encoded"})
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), writeTime)
	defer cancel()
	if err := a.writer.WriteMessages(ctx, message); err != nil {
		a.log.Error("Kafka did not take a message", zap.Error(err))
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": "Kafka did not take the message"})
		return
	}
	c.Header("Location", "/api/v1/messages/"+notification.RequestID)
	c.JSON(http.StatusAccepted, Accepted{notification.RequestID, notification.TopicName})
}

func health(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}

func router(a *api) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.POST("/api/v1/produce", a.produce)
	engine.GET("/health", health)
	return engine
}

func linger() (time.Duration, error) {
	if given := os.Getenv("LINGER"); given != "" {
		return time.ParseDuration(given)
	}
	return defaultLinger, nil
}

func newWriter(servers string, linger time.Duration, log *zap.Logger) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(strings.Split(servers, ",")...),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: linger,
		ErrorLogger:  kafka.LoggerFunc(log.Sugar().Errorf),
	}
}

func run(log *zap.Logger) error {
	wait, err := linger()
	if err != nil {
		return err
	}
	writer := newWriter(os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), wait, log)
	server := &http.Server{
		Addr:              os.Getenv("LISTEN"),
		Handler:           router(&api{writer, log}),
		ReadHeaderTimeout: headersTime,
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		drained <- server.Shutdown(limit)
	}()
	log.Info("API started", zap.String("listen", server.Addr))
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(<-drained, writer.Close())
}

func main() {
	log := zap.Must(zap.NewProduction())
	if err := run(log); err != nil {
		log.Fatal("API failed", zap.Error(err))
	}
	log.Info("API stopped")
}
