package blackbox

import (
	"encoding/base64"
	"testing"
)

// udf is a transform in JSON.
func udf(name, body string) string {
	return `{"javascriptUdf": {"functionName": "` + name + `", "code": "function ` + name + `(message, metadata) {` + body + `}"}}`
}

func TestTransformsCanBeTriedWithoutPublishing(t *testing.T) {
	t.Parallel()
	s := common(t)
	project := "/v1/projects/" + s.project
	upper, stamp := udf("upper", `message.data = message.data.toUpperCase(); return message`), udf("stamp", `message.attributes.id = metadata.message_id || 'none'; return message`)
	data := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	try := func(target string) object {
		t.Helper()
		return s.good(t, "POST", project+":testMessageTransforms", `{"message": {"data": "`+data("tea")+`", "messageId": "17", "orderingKey": "k"}, `+target+`}`)
	}

	got := try(`"messageTransforms": {"messageTransforms": [` + upper + `,` + stamp + `]}`)
	want(t, got, data("TEA"), "transformedMessages", 0, "transformedMessage", "data")
	want(t, got, nil, "transformedMessages", 0, "transformedMessage", "attributes")
	want(t, got, data("TEA"), "transformedMessages", 1, "transformedMessage", "data")
	want(t, got, "17", "transformedMessages", 1, "transformedMessage", "attributes", "id")
	want(t, got, "k", "transformedMessages", 1, "transformedMessage", "orderingKey")

	got = try(`"messageTransforms": {"messageTransforms": [` + udf("drop", `return null`) + `,` + upper + `]}`)
	want(t, got, object{}, "transformedMessages", 0, "filteredMessage")
	want(t, got, nil, "transformedMessages", 1)

	got = try(`"messageTransforms": {"messageTransforms": [` + upper + `,` + udf("fail", `throw new Error('no')`) + `]}`)
	want(t, got, 3.0, "transformedMessages", 1, "failedMessage", "error", "code")
	want(t, got, "message transform 1: the function threw Error: no at fail (code:1:55(3))", "transformedMessages", 1, "failedMessage", "error", "message")

	s.good(t, "PUT", project+"/topics/tried", `{"messageTransforms": [`+upper+`]}`)
	s.good(t, "PUT", project+"/subscriptions/tried", `{"topic": "`+s.topicName("tried")+`", "messageTransforms": [`+stamp+`]}`)
	want(t, try(`"topic": "`+s.topicName("tried")+`"`), data("TEA"), "transformedMessages", 0, "transformedMessage", "data")
	want(t, try(`"subscription": "`+s.subName("tried")+`"`), "17", "transformedMessages", 0, "transformedMessage", "attributes", "id")
	if pulled := s.good(t, "POST", project+"/subscriptions/tried:pull", `{"maxMessages": 1, "returnImmediately": true}`); len(pulled) != 0 {
		t.Errorf("a trial was published: %v", pulled)
	}

	s.good(t, "POST", project+":validateMessageTransform", `{"messageTransform": `+upper+`}`)
	s.refused(t, "POST", project+":validateMessageTransform", `{"messageTransform": `+udf("x", `return {`)+`}`, 400, "INVALID_ARGUMENT", "")
	s.refused(t, "POST", project+":validateMessageTransform", `{}`, 400, "INVALID_ARGUMENT", "A message_transform is required.")
	s.refused(t, "POST", project+":testMessageTransforms", `{"message": {"data": "eA=="}}`, 400, "INVALID_ARGUMENT", "One of message_transforms, topic and subscription is required.")
	s.refused(t, "POST", project+":testMessageTransforms", `{"topic": "`+s.topicName("tried")+`"}`, 400, "INVALID_ARGUMENT", "A message is required.")
	s.refused(t, "POST", project+":testMessageTransforms", `{"message": {"data": "eA=="}, "topic": "`+s.topicName("none")+`"}`, 404, "NOT_FOUND", "Resource not found (resource=none).")
}
