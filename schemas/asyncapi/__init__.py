"""The AsyncAPI 3 document of the topics, made from the models and codecs of the records."""
