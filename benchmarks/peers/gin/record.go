package main

import (
	"encoding/json"

	"github.com/segmentio/kafka-go"
)

// record is the message as the consumers expect it; the partition is chosen by the key.
func record(notification *Notification) (kafka.Message, error) {
	value, err := json.Marshal(notification)
	message := kafka.Message{Topic: notification.TopicName, Value: value}
	if notification.Key != "" {
		message.Key = []byte(notification.Key)
	}
	return message, err
}
