package rest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// httpCodes are the HTTP codes of errors.
var httpCodes = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Canceled:           499, // the client closed the request
	codes.DataLoss:           http.StatusInternalServerError,
	codes.Internal:           http.StatusInternalServerError,
	codes.Unknown:            http.StatusInternalServerError,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// answer is what a call is answered with.
type answer struct {
	code int
	text []byte // compact JSON
}

// success writes what is wanted of a gRPC handler's response as JSON. The response is used up.
func success(m *method, response any, wanted *selection) (answer, error) {
	message, is := response.(proto.Message)
	if raw, isRaw := response.(*wire.Raw); isRaw {
		decoded := m.answer.New().Interface()
		err := proto.Unmarshal(raw.Data, decoded)
		raw.Free()
		if err != nil {
			return answer{}, status.Errorf(codes.Internal, "a response cannot be decoded: %v", err)
		}
		message, is = decoded, true
	}
	if !is {
		return answer{}, status.Errorf(codes.Internal, "a response is a %T", response)
	}
	text, err := protojson.Marshal(wanted.of(message))
	if err != nil {
		return answer{}, status.Errorf(codes.Internal, "a response cannot be written as JSON: %v", err)
	}
	return answer{http.StatusOK, text}, nil
}

// failure is an error's answer.
func failure(err error) answer {
	var invalid *wire.InvalidError
	if errors.As(err, &invalid) {
		err = status.Error(codes.InvalidArgument, invalid.Text)
	}
	s := status.Convert(err)
	httpCode, known := httpCodes[s.Code()]
	if !known {
		httpCode = http.StatusInternalServerError
	}
	var details []json.RawMessage
	for _, detail := range s.Proto().GetDetails() {
		if text, err := protojson.Marshal(detail); err == nil { // a detail of an unknown type is left out
			details = append(details, text)
		}
	}
	return refusal(httpCode, s.Message(), code.Code(s.Code()).String(), details)
}

func refusal(httpCode int, message, name string, details []json.RawMessage) answer {
	type body struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Status  string            `json:"status"`
		Details []json.RawMessage `json:"details,omitempty"`
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Error body `json:"error"`
	}{body{httpCode, message, name, details}})
	if err != nil {
		panic("bug: an error cannot be written as JSON: " + err.Error())
	}
	return answer{httpCode, bytes.TrimSpace(text.Bytes())}
}

// compressBytesMin is from which size on an answer is worth compressing.
const compressBytesMin = 1 << 10

var compressors = sync.Pool{New: func() any {
	c, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic("bug: gzip's level is unknown: " + err.Error())
	}
	return c
}}

// send writes the answer: indented by two spaces unless the query says prettyPrint=false, and compressed when the client takes that.
func (a answer) send(w http.ResponseWriter, r *http.Request, pretty bool) {
	var text bytes.Buffer
	var err error
	if pretty {
		err = json.Indent(&text, a.text, "", "  ")
	} else {
		err = json.Compact(&text, a.text)
	}
	if err != nil {
		panic("bug: an answer is not JSON: " + err.Error())
	}
	text.WriteByte('\n')
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=UTF-8")
	header.Set("Cache-Control", "private")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Origin")
	header.Add("Vary", "Accept-Encoding")
	// A connection that cannot have a deadline, such as a test's, waits for as long as it likes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit.RESTAnswerTimeMax))
	if text.Len() >= compressBytesMin && acceptsGzip(r) {
		header.Set("Content-Encoding", "gzip")
		w.WriteHeader(a.code)
		c := compressors.Get().(*gzip.Writer)
		c.Reset(w)
		_, _ = text.WriteTo(c) // a client that has gone needs no answer
		_ = c.Close()
		compressors.Put(c)
		return
	}
	header.Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(a.code)
	_, _ = text.WriteTo(w)
}

// acceptsGzip reads Accept-Encoding: gzip counts unless its weight is zero.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, _ := strings.Cut(weight, "=")
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return strings.TrimSpace(weight) == "" || err == nil && value > 0
		}
	}
	return false
}
