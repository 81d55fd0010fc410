package catalog

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

func TestLabelsThatAreTaken(t *testing.T) {
	most := make(map[string]string)
	for i := range 64 {
		most[fmt.Sprintf("key%d", i)] = ""
	}
	for _, labels := range []map[string]string{
		nil,
		most,
		{"a": "", "b-_9": "0", "ключ": "значение", "名": "前"},
		{strings.Repeat("ä", 63): strings.Repeat("ö", 63)},
	} {
		if err := checkLabels(labels); err != nil {
			t.Error(err)
		}
	}
}

func TestLabelsThatAreRefused(t *testing.T) {
	const form = `does not conform to regular expression "[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"; `
	tooMany := make(map[string]string)
	for i := range 65 {
		tooMany[fmt.Sprintf("key%d", i)] = ""
	}
	long := strings.Repeat("x", 64)
	for _, test := range []struct {
		labels map[string]string
		text   string
	}{
		{map[string]string{"Upper": "v"}, `Invalid field "labels"; key "Upper" ` + form + `first character "U" is not a non-uppercased letter (Unicode character class Ll or Lo)`},
		{map[string]string{"1a": "v"}, `Invalid field "labels"; key "1a" ` + form + `first character "1" is not a non-uppercased letter (Unicode character class Ll or Lo)`},
		{map[string]string{"": "v"}, `Invalid field "labels"; key "" ` + form + `key is empty`},
		{map[string]string{"a.b": "v"}, `Invalid field "labels"; key "a.b" ` + form + `character "." is not a non-uppercased letter, a number, an underscore or a dash`},
		{map[string]string{long: "v"}, `Invalid field "labels"; key "` + long + `" ` + form + `key exceeds maximum length 63 with a length of 64`},
		{map[string]string{"key": long}, `Invalid field "labels.key"; value "` + long + `" exceeds maximum value length 63 with a length of 64`},
		{map[string]string{"key": "Upper"}, `Invalid field "labels.key"; value "Upper" does not conform to regular expression "[\p{Ll}\p{Lo}\p{N}_-]{0,63}"; character "U" is not a non-uppercased letter, a number, an underscore or a dash`},
		{map[string]string{"b": "X", "a": "Y"}, `Invalid field "labels.a"; value "Y" does not conform to regular expression "[\p{Ll}\p{Lo}\p{N}_-]{0,63}"; character "Y" is not a non-uppercased letter, a number, an underscore or a dash`},
		{tooMany, `Invalid field "labels"; number of labels 65 exceeds maximum of 64`},
	} {
		refused(t, checkLabels(test.labels), codes.InvalidArgument,
			"You have passed an invalid argument to the service (argument=Invalid labels: "+test.text+").")
	}
}
