package blackbox

import (
	"context"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/bufbuild/protocompile"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// ownDefinitions are the API's parts that Google publishes nowhere: google.pubsub.v1beta2, and the methods that try message transforms.
var ownDefinitions = sync.OnceValues(func() ([]protoreflect.FileDescriptor, error) {
	source := &protocompile.SourceResolver{ImportPaths: []string{
		filepath.Join("..", "internal", "google", "v1beta2pb"), filepath.Join("..", "internal", "google", "transformpb"),
	}}
	known := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		file, err := protoregistry.GlobalFiles.FindFileByPath(path)
		return protocompile.SearchResult{Desc: file}, err
	})
	compiler := &protocompile.Compiler{Resolver: protocompile.CompositeResolver{known, source}}
	files, err := compiler.Compile(context.Background(), "pubsub.proto", "transform.proto")
	if err != nil {
		return nil, err
	}
	return []protoreflect.FileDescriptor{files[0], files[1]}, nil
})

// surface is every RPC of the services that the broker serves, as their definitions list them.
func surface(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	own, err := ownDefinitions()
	if err != nil {
		t.Fatal(err)
	}
	var all []protoreflect.MethodDescriptor
	for _, file := range append([]protoreflect.FileDescriptor{
		pb.File_google_pubsub_v1_pubsub_proto, pb.File_google_pubsub_v1_schema_proto, iampb.File_google_iam_v1_iam_policy_proto,
	}, own...) {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				all = append(all, methods.Get(j))
			}
		}
	}
	return all
}

// full is the path of an RPC in gRPC.
func full(rpc protoreflect.MethodDescriptor) string {
	return "/" + string(rpc.Parent().FullName()) + "/" + string(rpc.Name())
}

func newMessage(of protoreflect.MessageDescriptor) proto.Message {
	if kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName()); err == nil {
		return kind.New().Interface()
	}
	return dynamicpb.NewMessage(of)
}

// httpForm is one way to make a call over HTTP.
type httpForm struct {
	verb, path string // path has variables: /v1/{topic=projects/*/topics/*}:publish
	body       string // field that the body is; "*" is the whole request, "" none
}

// httpForms are an RPC's forms over HTTP; StreamingPull has none. v1beta2 has those of v1, and policies those that the product's
// documentation lists.
func httpForms(rpc protoreflect.MethodDescriptor) []httpForm {
	if rpc.Parent().FullName() == "google.iam.v1.IAMPolicy" {
		form := map[protoreflect.Name]httpForm{
			"GetIamPolicy":       {"GET", ":getIamPolicy", ""},
			"SetIamPolicy":       {"POST", ":setIamPolicy", "*"},
			"TestIamPermissions": {"POST", ":testIamPermissions", "*"},
		}[rpc.Name()]
		var forms []httpForm
		for _, kind := range []string{"topics", "subscriptions", "snapshots", "schemas"} {
			forms = append(forms, httpForm{form.verb, "/v1/{resource=projects/*/" + kind + "/*}" + form.path, form.body})
		}
		return forms
	}
	version := "/v1/"
	if rest, older := strings.CutPrefix(string(rpc.FullName()), "google.pubsub.v1beta2."); older {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName("google.pubsub.v1." + protoreflect.FullName(rest))
		if err != nil {
			panic(err)
		}
		rpc, version = found.(protoreflect.MethodDescriptor), "/v1beta2/"
	}
	// The options of a definition that was compiled here hold the rule in another form, which the encoding does not know.
	options := new(descriptorpb.MethodOptions)
	encoded, err := proto.Marshal(rpc.Options())
	if err == nil {
		err = proto.Unmarshal(encoded, options)
	}
	rule, _ := proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	if err != nil || rule == nil {
		return nil
	}
	var forms []httpForm
	for _, r := range append([]*annotations.HttpRule{rule}, rule.AdditionalBindings...) {
		f := httpForm{body: r.Body}
		switch p := r.Pattern.(type) {
		case *annotations.HttpRule_Get:
			f.verb, f.path = "GET", p.Get
		case *annotations.HttpRule_Put:
			f.verb, f.path = "PUT", p.Put
		case *annotations.HttpRule_Post:
			f.verb, f.path = "POST", p.Post
		case *annotations.HttpRule_Delete:
			f.verb, f.path = "DELETE", p.Delete
		case *annotations.HttpRule_Patch:
			f.verb, f.path = "PATCH", p.Patch
		}
		f.path = version + strings.TrimPrefix(f.path, "/v1/")
		forms = append(forms, f)
	}
	return forms
}

// variable is a part of a path that a field of the request gives. Every path has one.
var variable = regexp.MustCompile(`\{([a-z._]+)=([^}]*)\}`)

// fill is the path and body of a request in an HTTP form. It is false when the form cannot say it: what goes into the path does not
// fit there, what goes into the query is no text, number or choice, or JSON has no words for a value.
func (f httpForm) fill(request proto.Message) (path, body string, fits bool) {
	request = proto.Clone(request)
	found := variable.FindStringSubmatch(f.path)
	at := request.ProtoReflect()
	names := strings.Split(found[1], ".")
	for _, name := range names[:len(names)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
	}
	field := at.Descriptor().Fields().ByName(protoreflect.Name(names[len(names)-1]))
	value := at.Get(field).String()
	if !regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(found[2]), `\*`, "[^/:]+") + "$").MatchString(value) {
		return "", "", false
	}
	at.Clear(field)
	segments := strings.Split(value, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	path = strings.Replace(f.path, found[0], strings.Join(segments, "/"), 1)

	rest := request.ProtoReflect()
	if f.body != "" && f.body != "*" {
		field := rest.Descriptor().Fields().ByName(protoreflect.Name(f.body))
		if rest.Has(field) { // without a body there is no message
			encoded, err := protojson.Marshal(rest.Get(field).Message().Interface())
			if err != nil {
				return "", "", false
			}
			body = string(encoded)
		}
		rest.Clear(field)
	} else if f.body == "*" {
		encoded, err := protojson.Marshal(request)
		return path, string(encoded), err == nil
	}
	query := make(url.Values)
	fits = true
	rest.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() != nil || field.IsList() || field.Kind() == protoreflect.BytesKind {
			fits = false
			return false
		}
		query.Set(field.JSONName(), value.String())
		return true
	})
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path, body, fits
}
