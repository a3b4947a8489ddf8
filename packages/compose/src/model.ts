import type { ComposePlace } from './errors.ts'

type Texts = ReadonlyMap<string, string>
type Named<T> = ReadonlyMap<string, T>

/**
 * A project, with defaults and names as Docker Compose 2 gives them. Maps have the keys and the order of the files. Times are
 * nanoseconds and sizes are bytes. Paths of the host begin with the project's folder. An absent field is the image's, or Docker's.
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
  /** Name of the image; absent: the service has a build. */
  readonly image?: string | undefined
  /** How the image is built. */
  readonly build?: ComposeBuild | undefined
  /** Platform of the image, such as `linux/amd64`. */
  readonly platform?: string | undefined
  /** When the image is fetched. */
  readonly pullPolicy?: string | undefined
  /** Words in front of the command. An empty list drops the image's words. */
  readonly entrypoint?: readonly string[] | undefined
  /** Words of the command. An empty list drops the image's words. */
  readonly command?: readonly string[] | undefined
  /** Folder that the command starts in. */
  readonly workingDir?: string | undefined
  /** `USER` or `USER:GROUP`, names or numbers. */
  readonly user?: string | undefined
  /** Variables of `env_file` and of `environment`. */
  readonly environment: Texts
  /** Name of the host. */
  readonly hostname?: string | undefined
  /** Name of the container. */
  readonly containerName?: string | undefined
  /** Services that start before, by name. */
  readonly dependsOn: Named<ComposeDependency>
  /** Check of health. */
  readonly healthcheck?: ComposeHealthcheck | undefined
  /** Whether a first process reaps others and forwards signals. */
  readonly init: boolean
  /** When the service starts again. */
  readonly restart: ComposeRestart
  /** Signal that stops the service. */
  readonly stopSignal?: string | undefined
  /** Nanoseconds between the signal and SIGKILL. */
  readonly stopGracePeriod: number
  /** `none`, `host`, `bridge`, `service:NAME` or `container:NAME`. Absent: the service has networks. */
  readonly networkMode?: string | undefined
  /** Networks by key. */
  readonly networks: Named<ComposeAttachment>
  /** More names of hosts. */
  readonly extraHosts: readonly { readonly host: string; readonly address: string }[]
  /** Ports or ranges of ports, also with a protocol. */
  readonly expose: readonly string[]
  /** Published ports. */
  readonly ports: readonly ComposePort[]
  /** Mounts. */
  readonly volumes: readonly ComposeMount[]
  /** Mounts of tmpfs. Options are as for mount(8), such as `size=64m`. */
  readonly tmpfs: readonly { readonly target: string; readonly options: string }[]
  /** Secrets in files of the container. */
  readonly secrets: readonly ComposeFileUse[]
  /** Configs in files of the container. */
  readonly configs: readonly ComposeFileUse[]
  /** Whether the root file system is read only. */
  readonly readOnly: boolean
  /** Whether the service has all privileges. */
  readonly privileged: boolean
  /** Added capabilities. */
  readonly capAdd: readonly string[]
  /** Kernel parameters by name. */
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
  /** Labels by name. */
  readonly labels: Texts
  /** Driver and options of the log. */
  readonly logging?: { readonly driver?: string; readonly options?: Texts } | undefined
  /** Profiles that enable the service; none: always enabled. */
  readonly profiles: readonly string[]
}

/** How an image is built. */
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

/** A check of health. */
export interface ComposeHealthcheck {
  /** Begins with `CMD` or `CMD-SHELL`, or is `['NONE']`. Absent: the image's. */
  readonly test?: readonly string[] | undefined
  readonly interval: number
  readonly timeout: number
  readonly retries: number
  readonly startPeriod: number
  readonly startInterval: number
}

/** When a service starts again, and the most attempts; without a limit if these are absent. */
export interface ComposeRestart {
  readonly policy: 'no' | 'always' | 'on-failure' | 'unless-stopped'
  readonly attempts?: number | undefined
}

/** A service in a network. */
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

/** A mount of a service. */
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
  readonly uid?: string | undefined
  readonly gid?: string | undefined
}

/** A named volume. */
export interface ComposeVolume {
  /** Name in Docker: `PROJECT_KEY`, or `KEY` if the volume is external, unless given. */
  readonly name: string
  readonly external: boolean
}

/** A network. */
export interface ComposeNetwork extends ComposeVolume {
  readonly internal: boolean
  readonly enableIpv6: boolean
  /** Subnets in CIDR notation. */
  readonly subnets: readonly ComposeSubnet[]
}

export interface ComposeSubnet {
  readonly subnet: string
  readonly gateway?: string | undefined
}

/** A secret or config: a path of the host, or a text, which is that of the variable that `environment` names. */
export interface ComposeFile extends ComposeVolume {
  readonly file?: string | undefined
  readonly environment?: string | undefined
  readonly content?: string | undefined
}
