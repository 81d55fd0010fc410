package policy

import (
	"slices"
	"strings"
	"testing"
)

// row says what the code of a package, without its tests, may import besides the standard library: packages of this module by their
// directories, others by their import paths. A name that ends in /... stands for everything below it as well.
type row struct {
	pkg string
	may string
}

// order is the partial order of the packages. A package stands below everything that it may import, so that one reading from top to
// bottom meets nothing before it was explained. The pure parts come first and know nothing of storage, network or time.
var order = []row{
	// The ground: the standard library only.
	{"internal/clock", ""},
	{"internal/limit", ""},
	{"internal/batch", "internal/limit"},
	{"internal/budget", "internal/limit google.golang.org/grpc/codes google.golang.org/grpc/status"},
	{"internal/text", "google.golang.org/protobuf/..."},
	{"internal/wheel", ""},
	{"internal/agenda", ""},
	{"internal/retention", ""},
	{"internal/bell", ""},
	{"internal/ackset", ""},
	{"internal/stripe", ""},
	{"internal/changes", ""},
	{"internal/usage", ""},
	{"internal/listen", ""},
	{"internal/vfs", "golang.org/x/sys/unix"},
	{"internal/engine", ""},
	{"internal/fault", "internal/engine google.golang.org/grpc/codes google.golang.org/grpc/status"},

	// Pure rules.
	{"internal/wire", "internal/limit google.golang.org/grpc/encoding/... google.golang.org/grpc/mem google.golang.org/protobuf/encoding/protowire"},
	{"internal/transform", "internal/limit internal/wire github.com/dop251/goja " + api},
	{"internal/transform/sandbox", "internal/limit internal/transform golang.org/x/sys/unix cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"},
	{"internal/lease", "internal/wheel internal/ackset"},
	{"internal/filter", "internal/limit internal/wire"},
	{"internal/catalog", "internal/filter internal/limit " + api},
	{"internal/roster", "internal/catalog"},
	{"internal/iam", "internal/limit internal/catalog cloud.google.com/go/iam/apiv1/iampb google.golang.org/protobuf/... google.golang.org/grpc/codes google.golang.org/grpc/status"},
	{"internal/ledger", "internal/engine internal/ackset"},
	{"internal/schema", "internal/limit github.com/bufbuild/protocompile/... " + api},
	{"internal/registry", "internal/limit internal/engine internal/wire internal/catalog internal/iam internal/schema internal/ledger google.golang.org/genproto/googleapis/rpc/errdetails " + api},
	{"internal/reader", "internal/engine internal/wire"},

	// Engines, and the contract that they are held against.
	{"internal/engine/enginetest", "internal/engine internal/clock"},
	{"internal/engine/memory", "internal/engine internal/clock"},
	{"internal/engine/disk/layout", "internal/engine internal/vfs"},
	{"internal/engine/disk/cache", "internal/engine internal/vfs internal/engine/disk/layout"},
	{"internal/engine/disk/index", "internal/engine internal/vfs internal/engine/disk/layout internal/engine/disk/cache"},
	{"internal/engine/disk/dump", "internal/engine internal/vfs internal/engine/disk/layout"},
	{"internal/engine/disk", "internal/engine internal/clock internal/vfs internal/engine/disk/layout internal/engine/disk/cache internal/engine/disk/index internal/engine/disk/dump"},

	// The core, then the fronts, which translate onto it.
	{"internal/delivery", "internal/ackset internal/bell internal/catalog internal/changes internal/clock internal/engine internal/fault internal/filter internal/lease internal/ledger internal/limit internal/reader internal/transform internal/usage internal/wire " + api},
	{"internal/broker", "internal/agenda internal/catalog internal/changes internal/clock internal/delivery internal/engine internal/fault internal/iam internal/ledger internal/limit internal/registry internal/retention internal/roster internal/stripe internal/transform internal/usage internal/wire " + api},
	{"internal/google/v1beta2pb", "google.golang.org/protobuf/..."},
	{"internal/oidc", "internal/clock github.com/go-jose/go-jose/v4/..."},
	{"internal/push", "internal/broker internal/delivery internal/lease internal/wire internal/limit internal/clock " + api},
	{"internal/google/transformpb", "google.golang.org/genproto/googleapis/... google.golang.org/protobuf/... cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"},
	{"internal/google/transformpb/dependencies", "google.golang.org/genproto/googleapis/... google.golang.org/protobuf/... cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"},
	{"internal/google", "internal/budget internal/clock internal/google/transformpb internal/transform google.golang.org/genproto/googleapis/rpc/status internal/iam internal/google/v1beta2pb cloud.google.com/go/iam/apiv1/iampb internal/broker internal/delivery internal/catalog internal/wire internal/limit google.golang.org/grpc/... google.golang.org/genproto/googleapis/rpc/errdetails " + api},

	{"internal/wipe", "google.golang.org/grpc/codes google.golang.org/grpc/status"},
	{"internal/rest", "internal/budget internal/wire internal/limit google.golang.org/grpc google.golang.org/grpc/mem google.golang.org/genproto/googleapis/... " + api},

	// What judges the broker. None of it shares code with the broker, or the broker's mistakes with it.
	{"check", ""},
	{"check/cmd", "check"},
	{"chaos", ""},
	{"chaos/process", ""},
	{"blackbox", ""},
	{"blackbox/clients", ""},
	{"mutation", ""},
	{"internal/policy", ""},
	{"bench/report", ""},
	{"bench/load", "golang.org/x/sync/errgroup google.golang.org/grpc/... " + api},
	{"bench/fake", "google.golang.org/grpc/... google.golang.org/protobuf/... " + api},
	{"bench/host", "bench/load golang.org/x/sys/unix"},
	{"bench/peer", "bench/load github.com/nats-io/nats-server/v2/server github.com/nats-io/nats.go/... golang.org/x/sync/errgroup google.golang.org/grpc/... " + api},
	{"bench/target", "bench/host bench/load bench/peer bench/report golang.org/x/sync/errgroup " + api},
	{"bench", "bench/peer bench/report bench/target"},

	// What users write down beforehand.
	{"internal/declare", "internal/catalog go.yaml.in/yaml/v4 " + api},
	{"internal/provision", "internal/declare internal/limit google.golang.org/grpc/... google.golang.org/genproto/googleapis/rpc/code " + api},

	// The binary. It alone chooses an engine, and it carries the load generator.
	{"internal/config", "github.com/spf13/pflag go.yaml.in/yaml/v4"},
	{"internal/client", "internal/limit internal/text google.golang.org/genproto/googleapis/rpc/code google.golang.org/genproto/googleapis/rpc/errdetails google.golang.org/grpc/credentials/insecure google.golang.org/grpc " + api},
	{"internal/serve", "internal/budget internal/config internal/limit internal/listen internal/rest golang.org/x/sync/errgroup google.golang.org/grpc"},
	{"cmd/posthaste", "internal/... bench/... github.com/spf13/cobra github.com/spf13/pflag golang.org/x/sync/errgroup golang.org/x/sys/unix golang.org/x/term google.golang.org/grpc/... " + api},
}

// api is the generated code of google.pubsub.v1 and what a message of it cannot be handled without.
const api = "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb google.golang.org/grpc/codes google.golang.org/grpc/status google.golang.org/protobuf/..."

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	rows := make(map[string]row, len(order))
	for _, r := range order {
		if _, twice := rows[r.pkg]; twice {
			t.Errorf("%s stands twice in the order", r.pkg)
		}
		rows[r.pkg] = r
	}
	seen := make(map[string]bool)
	for _, file := range load(t).code {
		r, known := rows[file.pkg]
		if !known && !seen[file.pkg] {
			t.Errorf("%s has no place in the import order", file.pkg)
		}
		seen[file.pkg] = true
		if !known || file.test {
			continue
		}
		for _, imported := range file.imports() {
			if !isStandard(imported) && !r.allows(inModule(imported)) {
				t.Errorf("%s: %s may not import %s", file.name, file.pkg, inModule(imported))
			}
		}
	}
	for _, r := range order {
		if !seen[r.pkg] {
			t.Errorf("%s stands in the import order and does not exist", r.pkg)
		}
	}
}

func TestTheOrderNamesNothingBeforeItsPlace(t *testing.T) {
	for i, r := range order {
		for name := range strings.FieldsSeq(r.may) {
			later := slices.ContainsFunc(order[i:], func(other row) bool { return other.pkg == name })
			if later {
				t.Errorf("%s may import %s, which stands below it", r.pkg, name)
			}
		}
	}
}

// Tests may import more than the code beside them, up to a point.
func TestWhatTestsMayNotImport(t *testing.T) {
	for _, file := range load(t).code {
		if !file.test {
			continue
		}
		for _, imported := range file.imports() {
			name := inModule(imported)
			switch {
			case belongsTo(name, "cmd"), belongsTo(name, "mutation"):
				t.Errorf("%s: nothing imports %s", file.name, name)
			case file.pkg == "internal/broker" && name == "check": // the simulation is judged as the real thing is
			case belongsTo(file.pkg, "internal") && !belongsTo(name, "internal") && name != imported:
				t.Errorf("%s: tests of the broker do not need %s", file.name, name)
			case belongsTo(file.pkg, "check") && !isStandard(imported) && !belongsTo(name, "check"):
				t.Errorf("%s: the history checker rests on the standard library alone, not on %s", file.name, name)
			case !belongsTo(file.pkg, "internal") && !belongsTo(file.pkg, "cmd") && belongsTo(name, "internal"):
				t.Errorf("%s: %s judges the broker from outside and shares no code with it, such as %s", file.name, file.pkg, name)
			}
		}
	}
}

// TestOnlyTheBinaryChoosesAnEngine says it apart from the table, where an addition would be easy to overlook.
func TestOnlyTheBinaryChoosesAnEngine(t *testing.T) {
	for _, file := range load(t).code {
		for _, imported := range file.imports() {
			name := inModule(imported)
			if !file.test && belongsTo(name, "internal/engine/disk") && file.pkg != "cmd/posthaste" && !belongsTo(file.pkg, "internal/engine/disk") {
				t.Errorf("%s: only cmd/posthaste imports %s", file.name, name)
			}
			if !file.test && belongsTo(name, "internal/engine/enginetest") {
				t.Errorf("%s: only tests import %s", file.name, name)
			}
		}
	}
}

func (r row) allows(name string) bool {
	for allowed := range strings.FieldsSeq(r.may) {
		below, is := strings.CutSuffix(allowed, "/...")
		if name == allowed || is && belongsTo(name, below) {
			return true
		}
	}
	return false
}

// inModule turns the import path of a package of this module into its directory, and leaves others as they are.
func inModule(imported string) string {
	if imported == module {
		return "."
	}
	return strings.TrimPrefix(imported, module+"/")
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}
