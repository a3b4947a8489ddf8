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

/** A network that a machine is in, with the addresses of the machine: `10.84.0.2/16`, `fd84::2/64`. */
export interface PlacedNetwork extends Readonly<Record<'name' | 'ipv4' | 'ipv6', string>> {
  /** Further names of the machine in this network; other machines may have the same ones. */
  readonly aliases: readonly string[]
  /** The resolver has addresses of IPv6, too. */
  readonly isDual?: true
}

/** A condition for the start of a program: something of another machine's program. */
export interface StartCondition {
  /** The name of the other machine. */
  readonly machine: string
  /** `healthy`: a test of health has passed last; `completed`: the program has ended with 0. */
  readonly when: 'started' | 'healthy' | 'completed'
  /** Whether the condition has to come; else a program that has failed, or is unhealthy, is waited for no longer. */
  readonly required: boolean
}

/**
 * A test of a machine's health, which its guest runs by its own time. Times are in nanoseconds. In the start period, from the start of the
 * program on, failures do not count.
 */
export interface HealthTest extends Readonly<Record<'interval' | 'timeout' | 'startPeriod' | 'startInterval', number>> {
  /** The program: it ends with 0 where the machine is healthy. */
  readonly test: readonly string[]
  /** As many failures in a row make a machine unhealthy. */
  readonly retries: number
}

/** A disk of a machine: its size in bytes, the path at which programs find its files, and how it is formatted. */
export interface PlacedDisk {
  readonly size: number
  readonly path: string
  readonly format: 'ext4' | 'none'
  /** Folders of the disk by their paths in the root. A folder begins with the files of the root at its path. */
  readonly folders?: Readonly<Record<string, string>> | undefined
  /** Machines by names of folders: before the program first starts, a folder gets the files that another one had when its program completed. */
  readonly copies?: Readonly<Record<string, string>> | undefined
}

/** A file of a machine: its text, its permissions as octal digits, and its owner as `UID:GID`. */
export interface PlacedFile {
  readonly text: string
  readonly mode?: string | undefined
  readonly owner?: string | undefined
}

/** A machine of a cluster. The descriptions of runs before 0.4 have no networks. */
export interface PlacedMachine {
  /** The name; several of a kind have their numbers behind it: `node-1`. */
  readonly name: string
  /** The name that its programs see; default `name`. */
  readonly hostname?: string | undefined
  /** Further names by which others find it; several machines may have the same ones. */
  readonly aliases?: readonly string[] | undefined
  /** The name of the machine that it is a container in, whose kernel, RAM, processors, disk and clock it shares. */
  readonly inside?: string | undefined
  /** Addresses by names. Its programs find these names before the names of machines. */
  readonly hosts?: Readonly<Record<string, readonly string[]>> | undefined
  /** Networks of the machine. */
  readonly networks: readonly PlacedNetwork[]
  /** The place among all machines, from 0. */
  readonly number: number
  /** The processors. */
  readonly arch: 'x86-64' | 'arm64'
  /** Name or path of a container's image, as `retrap exec --image` takes it. */
  readonly image?: string | undefined
  /** Path of a folder that is its root. Without image and root it sees the host's programs. */
  readonly root?: string | undefined
  /** Path of a file that `retrap run` takes: the machine is one of its own, and starts its programs itself. */
  readonly machine?: string | undefined
  /** The program that is started with the machine, or the arguments of `entrypoint`. */
  readonly command: readonly string[]
  /** The program before `command`; `image`: that of its image, with the image's arguments where `command` is empty; `image-alone`: without them. */
  readonly entrypoint?: 'image' | 'image-alone' | readonly string[] | undefined
  /** The folder in which its programs start, which is made where it is missing; default the image's, else `/`. */
  readonly workingDirectory?: string | undefined
  /** The program starts when all of these hold; a machine that starts again does not wait again. */
  readonly after?: readonly StartCondition[] | undefined
  /** The test of its health; absent: it has none. */
  readonly health?: HealthTest | undefined
  /** Whether the guest starts the program again after its end: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`. */
  readonly restart?: string | undefined
  /** The root is only read, apart from its mounts. */
  readonly readOnly?: boolean | undefined
  /** Folders in memory, as `PATH` or `PATH:OPTIONS` of mount(8). */
  readonly tmpfs?: readonly string[] | undefined
  /** Limits of its programs by their names in Docker, such as `nofile`: soft and hard, -1 for none. */
  readonly ulimits?: Readonly<Record<string, readonly [soft: number, hard: number]>> | undefined
  /** Size of `/dev/shm` in bytes. */
  readonly shmSize?: number | undefined
  /** Parameters of its kernel by their names, such as `net.core.somaxconn`. */
  readonly sysctls?: Readonly<Record<string, string>> | undefined
  /** Variables of its programs. */
  readonly env: Readonly<Record<string, string>>
  /** `UID`, `UID:GID`, or names; empty: the image's, else root. */
  readonly user: string
  /** Folders and files of the host that it reads, as `FOLDER` or `FOLDER:PATH`; `:copy` behind it: writes stay in its memory. */
  readonly share: readonly string[]
  /** Files by their paths, in place of the image's files. */
  readonly files?: Readonly<Record<string, PlacedFile>> | undefined
  /** RAM in bytes. */
  readonly memory: number
  /** A disk that outlives its machine. */
  readonly disk?: PlacedDisk | undefined
  /** Modules of the kernel that are loaded before it starts, beside the usual ones. */
  readonly modules: readonly string[]
  /** The number of processors. */
  readonly cpus: number
}

/** A command of a test template. */
export interface TestCommand {
  /** The time of its runs, named as by a prefix of the Test Composer of Antithesis. */
  readonly kind:
    | ('first' | 'parallel_driver' | 'serial_driver' | 'singleton_driver' | 'anytime')
    | ('eventually' | 'finally')
  /** The name of the machine that it runs on. */
  readonly on: string
  /** The program and its arguments. It is to end with 0. */
  readonly command: readonly string[]
}

/** The programs that test a cluster. */
export interface WorkloadDescription {
  /** The name of the machine that `setup`, `drivers` and `check` run on, which faults that are drawn spare. */
  readonly on?: string | undefined
  /** Gets all ready, before any fault: a program, or the first report `setup-complete` of any machine's. */
  readonly setup?: readonly string[] | 'setup-complete' | undefined
  /** Run while faults come. */
  readonly drivers: readonly (readonly string[])[]
  /** Decides, after all is mended: by its exit code. */
  readonly check?: readonly string[] | undefined
  /** Test templates by name: a run has the commands of one of them. */
  readonly templates?: Readonly<Record<string, readonly TestCommand[]>> | undefined
}

/** The description of a cluster, checked. Times are in nanoseconds. */
export interface ClusterDescription {
  /** All of them, by their numbers. */
  readonly machines: readonly PlacedMachine[]
  /** The usual link, and those between two machines. */
  readonly network: NetworkDescription & {
    readonly links: readonly (NetworkDescription & { readonly between: readonly [string, string] })[]
  }
  /** A resolver in each guest has the names of the machines that run; default: a file has the names of all. */
  readonly resolver?: boolean | undefined
  /** The programs of the test. */
  readonly workload?: WorkloadDescription | undefined
  /** `heal` is the time between the last fault and the check. */
  readonly faults: FaultWishes & { readonly heal: number }
  /** The instant by which a run has to have ended. */
  readonly limit: number
}

/** The machine whose kernel a machine runs on: itself, unless it is a container. */
export const kernelOf = (machines: readonly PlacedMachine[], machine: PlacedMachine): PlacedMachine =>
  machine.inside === undefined ? machine : machines.find(({ name }) => name === machine.inside)!

/** The machines that run on the kernel of one, which is the first of them. */
export const groupOf = (machines: readonly PlacedMachine[], { name, number }: PlacedMachine): PlacedMachine[] => [
  machines[number]!,
  ...machines.filter(({ inside }) => inside === name),
]

/** Whether a program is started with a machine. */
export const hasProgram = ({ command, entrypoint = [] }: Pick<PlacedMachine, 'command' | 'entrypoint'>): boolean =>
  typeof entrypoint === 'string' || entrypoint.length + command.length > 0
