import type { ComposePlace } from './errors.ts'

type Texts = ReadonlyMap<string, string>
type Named<T> = ReadonlyMap<string, T>
type RestartPolicy = 'no' | 'always' | 'on-failure' | 'unless-stopped'

/**
 * A project, with defaults and names as Docker Compose 2 gives them. Maps have the keys and the order of the files. Times are
 * nanoseconds and sizes are bytes. Paths of the host begin as the given paths. An absent field is the image's, or Docker's.
 */
export interface ComposeProject {
  /** Name of the project. */
  readonly name: string
  /** Services that run, by name. */
  readonly services: Named<ComposeService>
  /** Services that do not run, with the reason. */
  readonly leftOut: Texts
  /** Networks by key. */
  readonly networks: Named<ComposeNetwork>
  /** Named volumes by key. */
  readonly volumes: Named<ComposeVolume>
  /** Secrets by key. */
  readonly secrets: Named<ComposeFile>
  /** Configs by key. */
  readonly configs: Named<ComposeFile>
  /** Keys at the top of the files that begin with `x-`, as plain values. */
  readonly extensions: Named<unknown>
  /** Keys without a counterpart in the model, and variables without a value. */
  readonly notices: readonly ComposeNotice[]
  /** Places of keys, such as `services.web.ports`. */
  readonly places: Named<ComposePlace>
}

/** A sentence that is not an error. */
export interface ComposeNotice {
  readonly kind: 'key' | 'variable'
  readonly place: ComposePlace
  readonly key: string
  /** One line: `FILE:LINE: KEY: sentence`. */
  readonly text: string
}

/** A service, in the long form of each key. Fields have the names of the Compose Specification. */
export interface ComposeService {
  readonly image?: string | undefined
  readonly build?: ComposeBuild | undefined
  readonly platform?: string | undefined
  readonly pullPolicy?: string | undefined
  /** Words in front of the command. An empty list drops the image's words. */
  readonly entrypoint?: readonly string[] | undefined
  /** Words of the command. An empty list drops the image's words. */
  readonly command?: readonly string[] | undefined
  readonly workingDir?: string | undefined
  /** `USER` or `USER:GROUP`, names or numbers. */
  readonly user?: string | undefined
  /** Variables of `env_file` and of `environment`. */
  readonly environment: Texts
  readonly hostname?: string | undefined
  readonly containerName?: string | undefined
  readonly dependsOn: Named<ComposeDependency>
  readonly healthcheck?: ComposeHealthcheck | undefined
  /** Whether a first process reaps others and forwards signals. */
  readonly init: boolean
  /** Without `attempts` there is no limit. */
  readonly restart: { readonly policy: RestartPolicy; readonly attempts?: number | undefined }
  readonly stopSignal?: string | undefined
  /** Nanoseconds between the signal and SIGKILL. */
  readonly stopGracePeriod: number
  /** `none`, `host`, `bridge`, `service:NAME` or `container:NAME`. Absent: the service has networks. */
  readonly networkMode?: string | undefined
  readonly networks: Named<ComposeAttachment>
  readonly extraHosts: readonly { readonly host: string; readonly address: string }[]
  /** Ports or ranges of ports, also with a protocol. */
  readonly expose: readonly string[]
  readonly ports: readonly ComposePort[]
  readonly volumes: readonly ComposeMount[]
  /** Mounts of tmpfs. Options are as for mount(8), such as `size=64m`. */
  readonly tmpfs: readonly { readonly target: string; readonly options: string }[]
  readonly secrets: readonly ComposeFileUse[]
  readonly configs: readonly ComposeFileUse[]
  /** Whether the root file system is read only. */
  readonly readOnly: boolean
  readonly privileged: boolean
  readonly capAdd: readonly string[]
  readonly sysctls: Texts
  /** Limits by name; -1 is unlimited. */
  readonly ulimits: Named<{ readonly soft: number; readonly hard: number }>
  /** Bytes of /dev/shm. */
  readonly shmSize?: number | undefined
  /** Bytes of memory: `mem_limit`, or `deploy.resources.limits.memory`. */
  readonly memLimit?: number | undefined
  /** Processors, also a fraction: `cpus`, or `deploy.resources.limits.cpus`. */
  readonly cpus?: number | undefined
  /** Number of containers: `scale`, or `deploy.replicas`. */
  readonly scale: number
  readonly labels: Texts
  readonly logging?: { readonly driver?: string; readonly options?: Texts } | undefined
  /** Keys of the service that begin with `x-`, as plain values. */
  readonly extensions: Named<unknown>
  /** Profiles that enable the service; none: always enabled. */
  readonly profiles: readonly string[]
}

export interface ComposeBuild {
  readonly context: string
  readonly dockerfile: string
  readonly target?: string | undefined
  /** Tag of the image: `image` of the service, or `PROJECT-SERVICE`. */
  readonly tag: string
}

/** Conditions of a service that starts later. */
export interface ComposeDependency {
  readonly condition: 'service_started' | 'service_healthy' | 'service_completed_successfully'
  readonly required: boolean
  readonly restart: boolean
}

/** A test of health. A number that is absent or 0 is the image's, else Docker's. */
export interface ComposeHealthcheck {
  /** Begins with `CMD` or `CMD-SHELL`, or is `['NONE']`. Absent: the image's. */
  readonly test?: readonly string[] | undefined
  readonly interval?: number | undefined
  readonly timeout?: number | undefined
  readonly retries?: number | undefined
  readonly startPeriod?: number | undefined
  readonly startInterval?: number | undefined
}

export interface ComposeAttachment {
  readonly aliases: readonly string[]
  readonly ipv4Address?: string | undefined
  readonly ipv6Address?: string | undefined
}

/** A published port. `published` is a port or a range of the host; absent: any. */
export interface ComposePort {
  readonly target: number
  readonly published?: string | undefined
  readonly hostIp?: string | undefined
  readonly protocol: string
}

export interface ComposeMount {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image' | 'npipe' | 'cluster'
  /** Path of the host, key of a volume, or image. Absent: an anonymous volume or a tmpfs. */
  readonly source?: string | undefined
  readonly target: string
  readonly readOnly: boolean
  /** Whether a missing path of the host becomes a folder. */
  readonly createHostPath: boolean
  /** Whether a new volume stays without the image's files. */
  readonly nocopy: boolean
  readonly subpath?: string | undefined
  readonly size?: number | undefined
  readonly mode?: number | undefined
}

/** A secret or config of a service, at a path of the container. */
export interface ComposeFileUse {
  readonly source: string
  readonly target: string
  readonly mode: number
  readonly uid?: number | undefined
  readonly gid?: number | undefined
}

export interface ComposeVolume {
  /** Name in Docker: `PROJECT_KEY`, or `KEY` if the volume is external, unless given. */
  readonly name: string
  readonly external: boolean
}

export interface ComposeNetwork extends ComposeVolume {
  readonly internal: boolean
  readonly enableIpv6: boolean
  /** Subnets in CIDR notation. */
  readonly subnets: readonly { readonly subnet: string; readonly gateway?: string }[]
}

/** A secret or config: a path of the host, or a text, which is that of the variable that `environment` names. */
export interface ComposeFile extends ComposeVolume {
  readonly file?: string | undefined
  readonly environment?: string | undefined
  readonly content?: string | undefined
}
