// Command schemas writes the JSON schemas of the Prometheus operator's resources that deploy/ has, from the types that
// the operator itself reads them with. By hand, where the version in go.mod has changed: go run . >schemas.json
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type object = map[string]any

// given are types that say by themselves how they are written, and those that Kubernetes checks.
var given = map[reflect.Type]object{
	reflect.TypeFor[metav1.ObjectMeta]():                 {"type": "object"},
	reflect.TypeFor[resource.Quantity]():                 {"type": []string{"number", "string"}},
	reflect.TypeFor[intstr.IntOrString]():                {"type": []string{"integer", "string"}},
	reflect.TypeFor[monitoringv1.ConfigResourceStatus](): {"type": "object"},
}

type schemas struct{ definitions object }

func (s *schemas) of(t reflect.Type) object {
	if schema, ok := given[t]; ok {
		return schema
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		name := t.Name()
		if _, ok := s.definitions[name]; !ok {
			properties := object{}
			s.definitions[name] = object{"type": "object", "properties": properties, "additionalProperties": false}
			s.fields(t, properties)
		}
		return object{"$ref": "#/definitions/" + name}
	}
	panic("no schema for " + t.String())
}

func (s *schemas) fields(t reflect.Type, into object) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && (field.Anonymous || strings.Contains(options, "inline")):
			s.fields(field.Type, into)
		default:
			into[name] = s.of(field.Type)
		}
	}
}

func main() {
	s := &schemas{object{}}
	for _, t := range []reflect.Type{reflect.TypeFor[monitoringv1.PodMonitor](), reflect.TypeFor[monitoringv1.PrometheusRule]()} {
		s.of(t)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(object{"definitions": s.definitions}); err != nil {
		panic(err)
	}
}
