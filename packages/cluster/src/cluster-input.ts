import type { HealthTest, PlacedDisk, PlacedFile, PlacedMachine, PlacedNetwork, StartCondition } from './description.ts'
import type { NetworkDescription, WorkloadDescription } from './description.ts'
import type { Fault, FaultName } from './faults.ts'

/** A link between machines, as a `cluster.json` has it: `{ latency: '5ms', bandwidth: '100Mbit', loss: 0.01 }`. */
export interface LinkInput extends Partial<Pick<NetworkDescription, 'loss'>> {
  /** Latency of a frame (`500us`). */
  readonly latency?: string
  /** A frame comes earlier or later by up to this (`100us`). */
  readonly jitter?: string
  /** Bits a second. Without it a frame takes no time of its own. */
  readonly bandwidth?: string
}

/** A test of health, as a `cluster.json` has it: `{ test: ['redis-cli', 'ping'], interval: '2s' }`. Times are texts with a unit. */
export type HealthInput = Pick<HealthTest, 'test'> &
  Partial<Pick<HealthTest, 'retries'> & Readonly<Record<Exclude<keyof HealthTest, 'test' | 'retries'>, string>>>

/** A machine, as a `cluster.json` has it. */
export interface MachineInput extends Partial<Omit<PlacedMachine, keyof Written>>, Written {}

/** The fields of a machine that a file writes otherwise than a description has them. */
interface Written {
  /** Other machines find it under this name. */
  readonly name: string
  /** Makes several machines: `NAME-1`, `NAME-2` and so on. */
  readonly count?: number
  /** RAM (`512M`). */
  readonly memory?: string
  /** A disk that outlives its machine: its size, or its size, path (`/data`), format (`ext4`) and folders. */
  readonly disk?: string | ({ readonly size?: string } & Partial<Omit<PlacedDisk, 'size'>>)
  /** Files by their paths: texts, also with permissions (`0755`) and owner (`UID:GID`). */
  readonly files?: Readonly<Record<string, string | PlacedFile>> | undefined
  /** Networks of the machine by name (`default`), with its addresses (`10.5.0.3`, `fd05::3`) and with further names. */
  readonly networks?: Readonly<Record<string, Partial<Pick<PlacedNetwork, 'ipv4' | 'ipv6' | 'aliases'>>>>
  /** `none`: it has no network. */
  readonly network?: 'none'
  /** Conditions under which the program starts: all of them hold (`started`). */
  readonly after?: readonly (Pick<StartCondition, 'machine'> & Partial<StartCondition>)[]
  /** A test that its guest runs. */
  readonly health?: HealthInput
  /** Limits of its programs: a number, or soft and hard. */
  readonly ulimits?: Readonly<Record<string, number | readonly [soft: number, hard: number]>>
  /** The size of `/dev/shm` (`64M`). */
  readonly shmSize?: string
}

/** A fault at an instant, as a `cluster.json` has it. */
export interface FaultInput extends Pick<Fault, 'kind' | 'machines' | 'cut' | 'lost'> {
  /** From the instant at which faults begin. */
  readonly at: string
  /** The length of the fault. */
  readonly for: string
  /** A part from 0 to 1, or a time, for kinds that take one. */
  readonly amount?: number | string
}

/** A kind of faults that come at random, as a `cluster.json` has it. */
export interface RateInput extends Pick<FaultInput, 'for' | 'amount' | 'machines'> {
  /** The time between two of them, on average. */
  readonly every: string
}

/** The contents of a `cluster.json`. Times (`20ms`), sizes (`64M`) and rates of bits (`100Mbit`) are texts with a unit. */
export interface ClusterInput {
  /** The machines, which start together. */
  readonly machines: readonly MachineInput[]
  /** The usual link between machines, and those between two by their names. */
  readonly network?: LinkInput & {
    readonly links?: readonly (LinkInput & { readonly between: readonly [string, string] })[]
  }
  /** Networks by name, with subnets such as `10.5.0.0/24` and `fd05::/64`. Machines that share none do not reach each other. */
  readonly networks?: Readonly<
    Record<string, { readonly subnet4?: string; readonly subnet6?: string; readonly ipv6?: boolean }>
  >
  /** Names come from a resolver, as Docker has it, and only machines that run have names. */
  readonly resolver?: boolean
  /** The programs that test the others. */
  readonly workload?: Partial<WorkloadDescription>
  /** The time in which faults come (`30s`), the time between the last one and the check (`10s`), exact faults, and rates by kinds. */
  readonly faults?: {
    readonly for?: string
    readonly heal?: string
    readonly list?: readonly FaultInput[]
  } & Partial<Readonly<Record<FaultName, RateInput>>>
  /** The cluster's time in which a run has to end (`10m`). */
  readonly limit?: string
}
