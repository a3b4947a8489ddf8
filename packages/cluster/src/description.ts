import type { FaultWishes } from './faults.ts'

/** A link between machines. Times are in nanoseconds. */
export interface NetworkDescription {
  /** Latency of a frame. */
  readonly latency: number
  /** A frame comes earlier or later by up to this. */
  readonly jitter: number
  /** Bits a second; undefined: a frame takes no time of its own. */
  readonly bandwidth?: number | undefined
  /** The part of frames that is lost. */
  readonly loss: number
}

/** A machine of a cluster. */
export interface PlacedMachine {
  /** The name; several of a kind have their numbers behind it: `node-1`. */
  readonly name: string
  /** The place among all machines, from 0. */
  readonly number: number
  /** The processors. */
  readonly arch: 'x86-64' | 'arm64'
  /** Path of a container's image, as `retrap exec --image` takes it. */
  readonly image?: string | undefined
  /** Path of a folder that is its root. Without image and root it sees the host's programs. */
  readonly root?: string | undefined
  /** Path of a file that `retrap run` takes: the machine is one of its own, and starts its programs itself. */
  readonly machine?: string | undefined
  /** The program that is started with the machine. */
  readonly command: readonly string[]
  /** Variables of its programs. */
  readonly env: Readonly<Record<string, string>>
  /** `UID`, `UID:GID`, or names; empty: the image's, else root. */
  readonly user: string
  /** Folders of the host that it reads, as `FOLDER` or `FOLDER:PATH`. */
  readonly share: readonly string[]
  /** RAM in bytes. */
  readonly memory: number
  /** A disk that outlives its machine: its size in bytes, the path at which programs find its files, and how it is formatted. */
  readonly disk?: { readonly size: number; readonly path: string; readonly format: 'ext4' | 'none' } | undefined
  /** Modules of the kernel that are loaded before it starts, beside the usual ones. */
  readonly modules: readonly string[]
  /** The number of processors. */
  readonly cpus: number
}

/** The programs that test a cluster. */
export interface WorkloadDescription {
  /** The name of the machine that they run on. */
  readonly on: string
  /** Gets all ready, before any fault: a program, or the first report `setup-complete` of any machine's. */
  readonly setup?: readonly string[] | 'setup-complete' | undefined
  /** Run while faults come. */
  readonly drivers: readonly (readonly string[])[]
  /** Decides, after all is mended: by its exit code. */
  readonly check?: readonly string[] | undefined
}

/** The description of a cluster, checked. Times are in nanoseconds. */
export interface ClusterDescription {
  /** All of them, by their numbers. */
  readonly machines: readonly PlacedMachine[]
  /** The usual link, and those between two machines. */
  readonly network: NetworkDescription & {
    readonly links: readonly (NetworkDescription & { readonly between: readonly [string, string] })[]
  }
  /** The programs of the test. */
  readonly workload?: WorkloadDescription | undefined
  /** `heal` is the time between the last fault and the check. */
  readonly faults: FaultWishes & { readonly heal: number }
  /** The instant by which a run has to have ended. */
  readonly limit: number
}
