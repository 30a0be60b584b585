{{/*
The sidecar, for the list of initContainers of the pod that a node is in; a native one, as of Kubernetes 1.29. Call it with
  image         the image, needed
  args          what comes behind `run`; by default --config /etc/raft-exporter/config/raft-exporter.yml
  config        the ConfigMap with raft-exporter.yml, needed where args are not given
  secret        a Secret with the tokens; mounted at /etc/raft-exporter/secrets
  store         the name of a volume for the database; mounted at /var/lib/raft-exporter
  resources     in place of those below
The pod needs the volumes of raft-exporter.sidecarVolumes, the same values given, and the label raft-cluster.
*/}}
{{- define "raft-exporter.sidecar" -}}
- name: raft-exporter
  image: {{ required "raft-exporter.sidecar: image is needed" .image | quote }}
  restartPolicy: Always
  args:
    - run
    {{- if .args }}
    {{- toYaml .args | nindent 4 }}
    {{- else }}
    - --config
    - /etc/raft-exporter/config/raft-exporter.yml
    {{- end }}
  ports:
    - name: raft-exporter
      containerPort: 9641
  {{- /* Neither startupProbe nor readinessProbe: the node must not wait for its sidecar, nor go out of service with it. */}}
  livenessProbe:
    httpGet:
      path: /-/healthy
      port: raft-exporter
    periodSeconds: 10
    timeoutSeconds: 3
    failureThreshold: 3
  resources:
    {{- if .resources }}
    {{- toYaml .resources | nindent 4 }}
    {{- else }}
    requests:
      cpu: 50m
      memory: 64Mi
    limits:
      memory: 256Mi
    {{- end }}
  securityContext:
    runAsNonRoot: true
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: raft-exporter-observer
      mountPath: /run/raft-exporter
    {{- if not .args }}
    - name: raft-exporter-config
      mountPath: /etc/raft-exporter/config
      readOnly: true
    {{- end }}
    {{- if .secret }}
    - name: raft-exporter-secrets
      mountPath: /etc/raft-exporter/secrets
      readOnly: true
    {{- end }}
    {{- if .store }}
    - name: {{ .store }}
      mountPath: /var/lib/raft-exporter
    {{- end }}
{{- end }}

{{/*
The volumes of the pod. The node's own container mounts raft-exporter-observer at /run/raft-exporter, where it embeds the
observer.
*/}}
{{- define "raft-exporter.sidecarVolumes" -}}
- name: raft-exporter-observer
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- if not .args }}
- name: raft-exporter-config
  configMap:
    name: {{ required "raft-exporter.sidecarVolumes: config is needed, or args" .config }}
{{- end }}
{{- if .secret }}
- name: raft-exporter-secrets
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
{{- end }}
{{- end }}
