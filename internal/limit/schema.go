package limit

// Schemas. The size, the number of revisions and the number of schemas are the product's; the others are this broker's own, and bound
// what a definition or a message can make it do.
const (
	SchemaDefinitionBytesMax = 300 << 10
	SchemaRevisionsMax       = 20
	SchemasMax               = 10_000  // a project
	SchemaNestingMax         = 200     // of a definition's types, and of a message's values
	SchemaUnionBranchesMax   = 1000    // of one union of an Avro schema
	SchemaJSONValuesMax      = 500_000 // of one message in the JSON of Protocol Buffers
)
