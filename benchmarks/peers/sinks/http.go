package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
)

// What a Twilio-compatible Messages API says of a text that it took.
const taken = `{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued", "error_code": null}`

var accepted = []byte("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: " +
	strconv.Itoa(len(taken)) + "\r\n\r\n" + taken)

// serveHTTP takes every POST, told apart by its Idempotency-Key.
func serveHTTP(connection net.Conn, shared *turn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64<<10)
	for {
		id, length, err := readHead(reader)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, reader, int64(length)); err != nil {
			return
		}
		shared.take(id)
		if _, err := connection.Write(accepted); err != nil {
			return
		}
	}
}

func readHead(reader *bufio.Reader) (id []byte, length int, err error) {
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return nil, 0, err
		}
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if len(name) == 0 {
			return id, length, nil
		}
		if !found {
			continue
		}
		switch strings.ToLower(string(name)) {
		case "idempotency-key":
			id = append([]byte(nil), bytes.TrimSpace(value)...)
		case "content-length":
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, 0, err
			}
		}
	}
}
