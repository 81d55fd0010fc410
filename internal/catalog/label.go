package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// labelKeyForm is what a label's key must match; texts show it.
const labelKeyForm = `[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}`

// checkLabels holds labels against the service's rule. The first offender in the order of keys is the one named.
func checkLabels(labels map[string]string) error {
	if len(labels) > limit.LabelsMax {
		return badLabels(`Invalid field "labels"; number of labels %d exceeds maximum of %d`, len(labels), limit.LabelsMax)
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if err := checkLabelKey(key); err != nil {
			return err
		}
		if err := checkLabelValue(key, labels[key]); err != nil {
			return err
		}
	}
	return nil
}

func checkLabelKey(key string) error {
	if reason := keyFault(key); reason != "" {
		return badLabels(`Invalid field "labels"; key %s does not conform to regular expression "%s"; %s`, quotes(key), labelKeyForm, reason)
	}
	return nil
}

func keyFault(key string) string {
	if key == "" {
		return "key is empty"
	}
	if count := utf8.RuneCountInString(key); count > limit.LabelCharsMax {
		return fmt.Sprintf("key exceeds maximum length %d with a length of %d", limit.LabelCharsMax, count)
	}
	for at, char := range key {
		if at == 0 && !isLabelLetter(char) {
			return "first character " + quotes(string(char)) + " is not a non-uppercased letter (Unicode character class Ll or Lo)"
		}
		if !isLabelChar(char) {
			return "character " + quotes(string(char)) + " is not a non-uppercased letter, a number, an underscore or a dash"
		}
	}
	return ""
}

func checkLabelValue(key, value string) error {
	if count := utf8.RuneCountInString(value); count > limit.LabelCharsMax {
		return badLabels(`Invalid field "labels.%s"; value %s exceeds maximum value length %d with a length of %d`,
			key, quotes(value), limit.LabelCharsMax, count)
	}
	for _, char := range value {
		if !isLabelChar(char) {
			return badLabels(`Invalid field "labels.%s"; value %s does not conform to regular expression "[\p{Ll}\p{Lo}\p{N}_-]{0,63}"; character %s is not a non-uppercased letter, a number, an underscore or a dash`,
				key, quotes(value), quotes(string(char)))
		}
	}
	return nil
}

func isLabelLetter(char rune) bool { return unicode.In(char, unicode.Ll, unicode.Lo) }

func isLabelChar(char rune) bool {
	return isLabelLetter(char) || unicode.Is(unicode.N, char) || char == '_' || char == '-'
}

func badLabels(format string, args ...any) error {
	return badArgument("Invalid labels: " + fmt.Sprintf(format, args...))
}

func quotes(input string) string { return strconv.Quote(quoted(input)) }
