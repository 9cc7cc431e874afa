// Where the mail and SMS benchmarks deliver to: it takes everything, at once, and counts what it took.
//
// `sinks smtp` and `sinks http` print their port. Then each line "COUNT EDGE" on stdin begins a turn: the sink
// prints "edge" at the EDGE-th message, "edge SECONDS" at the one EDGE before COUNT, and at COUNT
// "done DIFFERENT"; "late TAKEN" where that takes too long. It ends with its stdin.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const patience = 90 * time.Second

// turn is what all connections share. A message is told apart by its id, so that one that comes twice is seen.
type turn struct {
	lock        sync.Mutex
	count, edge int
	taken       int
	ids         map[string]struct{}
	began       time.Time
	late        *time.Timer
}

func (t *turn) begin(count, edge int) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.count, t.edge, t.taken = count, edge, 0
	t.ids = make(map[string]struct{}, count)
	t.late = time.AfterFunc(patience, func() {
		t.lock.Lock()
		defer t.lock.Unlock()
		fmt.Printf("late %d\n", t.taken)
	})
}

func (t *turn) take(id []byte) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.ids == nil {
		return // nobody counts: a server that is only tried out
	}
	t.taken++
	t.ids[string(id)] = struct{}{}
	if t.taken == t.edge {
		t.began = time.Now()
		fmt.Println("edge")
	}
	if t.taken == t.count-t.edge {
		fmt.Printf("edge %.6f\n", time.Since(t.began).Seconds())
	}
	if t.taken == t.count {
		t.late.Stop()
		fmt.Printf("done %d\n", len(t.ids))
	}
}

func main() {
	serve := map[string]func(net.Conn, *turn){"smtp": serveSMTP, "http": serveHTTP}[os.Args[1]]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	shared := &turn{}
	go accept(listener, shared, serve)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var count, edge int
		if _, err := fmt.Sscan(commands.Text(), &count, &edge); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		shared.begin(count, edge)
	}
}

func accept(listener net.Listener, shared *turn, serve func(net.Conn, *turn)) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(connection, shared)
	}
}
