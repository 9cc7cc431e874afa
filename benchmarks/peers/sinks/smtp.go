package main

import (
	"bufio"
	"bytes"
	"net"
)

// What a mail server of today offers, as far as a client might make use of it.
const greeting = "220 sink ESMTP\r\n"
const offers = "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"

var messageID = []byte("Message-ID:")

// serveSMTP answers every command with yes. What came in together is answered together (RFC 2920).
func serveSMTP(connection net.Conn, shared *turn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64<<10)
	writer := bufio.NewWriter(connection)
	writer.WriteString(greeting)
	for {
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
		line, err := reader.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return
		}
		switch string(bytes.ToUpper(line[:4])) {
		case "EHLO":
			writer.WriteString(offers)
		case "QUIT":
			writer.WriteString("221 2.0.0 Bye\r\n")
			writer.Flush()
			return
		case "DATA":
			writer.WriteString("354 End data with <CR><LF>.<CR><LF>\r\n")
			writer.Flush()
			id, err := readMail(reader)
			if err != nil {
				return
			}
			shared.take(id)
			writer.WriteString("250 2.0.0 Ok: queued as 4cM8Xz3vQvz9sX7\r\n")
		default:
			writer.WriteString("250 2.1.0 Ok\r\n")
		}
	}
}

// readMail reads up to the final dot; the mail's Message-ID.
func readMail(reader *bufio.Reader) ([]byte, error) {
	var id []byte
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if id == nil && bytes.HasPrefix(line, messageID) {
			id = append(id, bytes.TrimSpace(line[len(messageID):])...)
		}
		if len(line) == 3 && line[0] == '.' && line[1] == '\r' {
			return id, nil
		}
	}
}
