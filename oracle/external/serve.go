package external

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Engine is what Serve answers with.
type Engine struct {
	// Hello names the engine; Protocol, Decode and Execute are filled in by
	// Serve.
	Hello Hello
	// Decoder and Executor answer; nil if the engine is no such thing.
	Decoder  oracle.Decoder
	Executor oracle.Executor
	// Text returns the text of the instruction that the Decoder decoded last;
	// nil if it has none.
	Text func(code []byte, mode x86.Mode) string
}

// server is one conversation.
type server struct {
	e   *Engine
	w   *bufio.Writer
	buf []byte
}

// Serve answers requests from r on w until r ends. What is wrong with a request
// is answered; the error is one of reading or writing.
func Serve(r io.Reader, w io.Writer, e *Engine) error {
	e.Hello.Protocol, e.Hello.Decode, e.Hello.Execute = Version, e.Decoder != nil, e.Executor != nil
	s := &server{e: e, w: bufio.NewWriterSize(w, 64<<10)}
	in := bufio.NewReaderSize(r, 64<<10)
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading a request: %w", err)
		}
		if err := s.answer(frame); err != nil {
			return fmt.Errorf("writing an answer: %w", err)
		}
	}
}

// answer answers one request.
func (s *server) answer(frame []byte) error {
	var q request
	if err := unmarshal(frame, &q); err != nil {
		return s.refuse(q.ID, err)
	}
	kinds := 0
	for _, given := range []bool{q.Hello != nil, q.Decode != nil, q.Execute != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return s.refuse(q.ID, errors.New("want one of hello, decode and execute"))
	case q.Hello != nil:
		return s.reply(reply[struct{}]{Hello: &s.e.Hello})
	case q.Decode != nil && s.e.Decoder == nil:
		return s.refuse(q.ID, errors.New("this engine does not decode"))
	case q.Execute != nil && s.e.Executor == nil:
		return s.refuse(q.ID, errors.New("this engine does not execute"))
	case q.Decode != nil:
		return s.decode(&q)
	}
	return s.execute(&q)
}

func (s *server) refuse(id uint64, err error) error {
	return s.reply(reply[struct{}]{ID: id, Error: err.Error()})
}

func (s *server) reply(r reply[struct{}]) error {
	b, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	return s.send(b)
}

func (s *server) send(payload []byte) error {
	if err := writeFrame(s.w, payload); err != nil {
		return err
	}
	return s.w.Flush()
}

// Answers leave in frames of about this many bytes, so that a crash shows where
// in a batch it happened.
const answerBytes = 32 << 10

// begin starts a frame of answers.
func (s *server) begin(id uint64) {
	s.buf = strconv.AppendUint(append(s.buf[:0], `{"id":`...), id, 10)
	s.buf = append(s.buf, `,"answers":[`...)
}

// next ends an answer: it sends the frame if it is full or the last.
func (s *server) next(id uint64, last bool) error {
	if !last && len(s.buf) < answerBytes {
		s.buf = append(s.buf, ',')
		return nil
	}
	s.buf = append(s.buf, `]}`...)
	err := s.send(s.buf)
	s.begin(id)
	return err
}

// itemError is the answer to an item that cannot be used, in its place.
func (s *server) itemError(err error) {
	b, jerr := json.Marshal(map[string]string{"error": err.Error()})
	if jerr != nil {
		b = []byte(`{"error":"?"}`)
	}
	s.buf = append(s.buf, b...)
}

func (s *server) decode(q *request) error {
	s.begin(q.ID)
	for i := range q.Decode {
		item := &q.Decode[i]
		mode, err := x86.ParseMode(item.Mode)
		var code []byte
		if err == nil {
			code, err = hex.DecodeString(item.Code)
		}
		switch {
		case err != nil:
			s.itemError(err)
		case !s.e.Hello.hasMode(mode):
			s.buf = appendDecoded(s.buf, &oracle.Decoded{Group: "mode " + mode.String()}, "")
		default:
			var d oracle.Decoded
			s.e.Decoder.Decode(code, mode, &d)
			text := ""
			if s.e.Text != nil && d.Valid {
				text = s.e.Text(code, mode)
			}
			s.buf = appendDecoded(s.buf, &d, text)
		}
		if err := s.next(q.ID, i == len(q.Decode)-1); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) execute(q *request) error {
	s.begin(q.ID)
	for i, data := range q.Execute {
		c, err := oracle.ParseCase(data)
		if err != nil {
			s.itemError(err)
		} else if err := s.run(c); err != nil {
			return err
		}
		if err := s.next(q.ID, i == len(q.Execute)-1); err != nil {
			return err
		}
	}
	return nil
}

// run appends the answer to a case. An engine that is gone ends the
// conversation: the near end starts it again.
func (s *server) run(c *oracle.Case) error {
	results := []oracle.Result{{Memory: make([]byte, len(c.Memory))}}
	if err := s.e.Executor.Run([]oracle.Case{*c}, results); err != nil {
		return fmt.Errorf("the engine is gone: %w", err)
	}
	// The answer has what the windows hold and the words that changed
	// elsewhere, rather than every page that was given.
	c.Given = nil
	s.buf = oracle.AppendResult(s.buf, c, &results[0])
	return nil
}
