package transform

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/dop251/goja"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// script is a JavaScript runtime with the functions of one chain. It is not safe for concurrent use. After a run that it did not come out
// of in good order it is spent: nobody knows what it left behind.
type script struct {
	vm        *goja.Runtime
	factories []goja.Callable // by step; nil for steps that are not functions
	spent     bool
}

// seal takes away the ways to make code of texts, whose nesting nothing would bound.
const seal = `(function () {
	for (const f of [function () {}, function* () {}, async function () {}, async () => {}])
		Object.defineProperty(Object.getPrototypeOf(f), "constructor", {value: undefined});
	delete globalThis.eval;
	delete globalThis.Function;
})()`

var sealed = goja.MustCompile("seal", seal, true)

// functionName is what may name a function. Names beyond ASCII are legal JavaScript; nobody has missed them.
var functionName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// errTooLong ends a function that does not end by itself.
var errTooLong = fmt.Errorf("the function did not return within %v", limit.TransformTimeMax)

// newScript makes a runtime for the steps. fault says what is wrong with the step at index; empty: nothing.
func newScript(steps []*pubsubpb.MessageTransform) (s *script, index int, fault string) {
	s = &script{vm: goja.New(), factories: make([]goja.Callable, len(steps))}
	s.vm.SetMaxCallStackSize(limit.TransformStackDepthMax)
	if _, err := s.vm.RunProgram(sealed); err != nil {
		panic("bug: transform: seal a runtime: " + err.Error())
	}
	for i, step := range steps {
		if udf := step.GetJavascriptUdf(); udf != nil {
			if fault = s.define(i, udf); fault != "" {
				return nil, i, fault
			}
		}
	}
	return s, 0, ""
}

// define compiles one function. Its code becomes the body of another one, the factory, which is called for each message and gives the
// function: so each message has variables of its own.
func (s *script) define(step int, udf *pubsubpb.JavaScriptUDF) (fault string) {
	name := udf.FunctionName
	if !functionName.MatchString(name) {
		return fmt.Sprintf("function_name %q is not the name of a function", clip(name))
	}
	if _, err := goja.Compile("code", udf.Code, false); err != nil {
		return "the code is not valid JavaScript: " + describe(err)
	}
	program, err := goja.Compile("code", "(function () {"+udf.Code+"\n;return typeof "+name+" === \"function\" ? "+name+" : undefined})", false)
	if err != nil {
		return "the code is not valid JavaScript: " + describe(err)
	}
	var made goja.Value
	err = s.guarded(func() error {
		factory, err := s.vm.RunProgram(program)
		if err != nil {
			return err
		}
		s.factories[step], _ = goja.AssertFunction(factory)
		made, err = s.factories[step](goja.Undefined())
		return err
	})
	if err != nil {
		return "the code failed: " + describe(err)
	}
	if _, is := goja.AssertFunction(made); !is {
		return fmt.Sprintf("the code does not define the function %q", name)
	}
	return ""
}

// guarded runs f within the limits.
func (s *script) guarded(f func() error) (err error) {
	w := watch(s.vm)
	defer func() {
		if w.end() {
			s.spent = true
		}
		if r := recover(); r != nil { // the engine gives up on some scripts in this way, such as for an array of all memory
			s.spent = true
			err = fmt.Errorf("the function broke the engine: %.200v", r)
		}
	}()
	err = f()
	var overflow *goja.StackOverflowError
	if errors.As(err, &overflow) {
		s.spent = true
	}
	return err
}

// call runs the function of a step on a message.
func (s *script) call(step int, m *message, in *Input) (dropped bool, failure string) {
	if !utf8.Valid(m.data) {
		return false, "the data is not valid UTF-8, and functions see it as text"
	}
	was := m.attributes
	err := s.guarded(func() error {
		function, err := s.factories[step](goja.Undefined())
		if err != nil {
			return err
		}
		callable, is := goja.AssertFunction(function)
		if !is {
			return errors.New("the function is not there")
		}
		result, err := callable(goja.Undefined(), s.argument(m), s.metadata(m, in))
		if err != nil {
			return err
		}
		if goja.IsNull(result) || goja.IsUndefined(result) {
			dropped = true
			return nil
		}
		if exception := s.vm.Try(func() { err = m.take(s.vm, result) }); exception != nil {
			return exception
		}
		return err
	})
	switch {
	case err != nil:
		return false, describe(err)
	case dropped:
		return true, ""
	}
	return false, m.fault(was)
}

func (s *script) argument(m *message) goja.Value {
	attributes := s.vm.NewObject()
	for _, key := range slices.Sorted(maps.Keys(m.attributes)) { // in one order always: a function can see it
		attributes.Set(key, m.attributes[key])
	}
	o := s.vm.NewObject()
	o.Set("data", string(m.data))
	o.Set("attributes", attributes)
	return o
}

// metadata is what a function may know of a message besides its content. On a topic the id and the time are not known yet.
func (s *script) metadata(m *message, in *Input) goja.Value {
	o := s.vm.NewObject()
	if in.ID != 0 {
		o.Set("message_id", strconv.FormatUint(in.ID, 10))
	}
	if in.Time != 0 {
		o.Set("publish_time", time.Unix(0, in.Time).UTC().Format("2006-01-02T15:04:05Z"))
	}
	if len(m.key) > 0 {
		o.Set("ordering_key", string(m.key))
	}
	return o
}

// take makes the message what a function returned. Reading may run code of the function's, which may throw.
func (m *message) take(vm *goja.Runtime, result goja.Value) error {
	o, is := result.(*goja.Object)
	if !is {
		return fmt.Errorf("the function returned a %s; it must return a message, or null to drop it", typeOf(result))
	}
	data, is := o.Get("data").(goja.String)
	if !is {
		return errors.New(`the function returned a message whose "data" is not a string`)
	}
	if data.Length() > limit.PublishRequestBytesMax {
		return fmt.Errorf("the function returned data of %d characters, but a message has at most %d bytes", data.Length(), limit.PublishRequestBytesMax)
	}
	attributes, err := takeAttributes(vm, o.Get("attributes"))
	if err != nil {
		return err
	}
	m.data, m.attributes = []byte(data.String()), attributes
	return nil
}

func takeAttributes(vm *goja.Runtime, v goja.Value) (map[string]string, error) {
	if v == nil || goja.IsNull(v) || goja.IsUndefined(v) {
		return nil, nil
	}
	o, is := v.(*goja.Object)
	if !is || o.ClassName() == "Array" {
		return nil, errors.New(`the function returned a message whose "attributes" are not an object`)
	}
	keys := o.Keys()
	if len(keys) > limit.AttributesMax {
		return nil, fmt.Errorf("the function returned %d attributes, but the maximum is %d", len(keys), limit.AttributesMax)
	}
	attributes := make(map[string]string, len(keys))
	for _, key := range keys {
		value, is := o.Get(key).(goja.String)
		if !is {
			return nil, fmt.Errorf("the function returned attribute %q, which is not a string", clip(key))
		}
		if value.Length() > limit.AttributeValueBytesMax {
			return nil, fmt.Errorf("the function returned attribute %q with %d characters, but the maximum is %d bytes", clip(key), value.Length(), limit.AttributeValueBytesMax)
		}
		attributes[key] = value.String()
	}
	return attributes, nil
}

func typeOf(v goja.Value) string {
	if t := v.ExportType(); t != nil {
		return t.String()
	}
	return "value of no type"
}

// describe writes what went wrong in a script for people, shortly.
func describe(err error) string {
	var interrupted *goja.InterruptedError
	var overflow *goja.StackOverflowError
	var thrown *goja.Exception
	switch {
	case errors.As(err, &interrupted):
		return errTooLong.Error()
	case errors.As(err, &overflow):
		return fmt.Sprintf("the function made more than %d calls within one another", limit.TransformStackDepthMax)
	case errors.As(err, &thrown):
		return "the function threw " + clip(thrown.Error())
	}
	return clip(err.Error())
}

// textBytesMax bounds what a text repeats of a script's own: it travels in a status, and may be logged.
const textBytesMax = 300

func clip(text string) string {
	if len(text) > textBytesMax {
		text = text[:textBytesMax] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
