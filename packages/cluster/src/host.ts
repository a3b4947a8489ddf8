import type { SimulatedMachine } from './simulation.ts'
import type { PlacedMachine } from './description.ts'
import type { ClusterDisk } from './disk.ts'
import type { Seed } from './draws.ts'
import type { GuestFault } from './faults.ts'

/** Hears a guest, with the instants of its own clock in nanoseconds. */
export interface GuestListener {
  /** A line of its programs' output. */
  line: (ns: number, text: string) => void
  /** A line of the port for reports. */
  report: (ns: number, text: string) => void
  /** A program has ended. */
  ended: (ns: number, program: string, code: number) => void
  /** The state of its own program: `healthy`, `unhealthy OUTPUT`, `starting OUTPUT` at the first test that failed, or `restarts CODE`. Of a program named `exec`: `said STREAM BASE64`. Of folders: `copy FOLDER BASE64` where others copy it, `copied`, `uncopied WHY`. */
  status: (ns: number, text: string) => void
  /** Names the listener of a container in it. */
  inside?: (container: number) => GuestListener
}

/** A machine whose programs are started from outside. */
export interface ClusterGuest extends SimulatedMachine {
  /**
   * Starts a program of the machine with this number, or of a container in it. Its end is told with a name: `main` has entrypoint and health.
   *
   * @param copies - what folders of its disk get before: packed by tar, in base64, by their names
   */
  start(name: string, words: readonly string[], of?: number, copies?: Readonly<Record<string, string>>): Promise<void>
  /** Kills a command of a test template, which has `#` and a number at the end of its name, with all processes that it has started. */
  kill(name: string, of?: number): void
  /** Sets its clock forward, or back. */
  turnClock(ns: number): void
  /** Tells the resolver which machines its programs find by their names, by numbers. */
  names?(named: readonly number[]): void
  /** Begins a fault, or ends it. @param amount - 0: it ends; a part by which the clock is fast, or of the time that `slow-cpu` takes away */
  disturb(kind: GuestFault, amount: number, of?: number): void
  /** Identifies its state, for comparisons: the instructions that it has retired, and a checksum of its RAM. @param isQuick - without RAM */
  digest(isQuick?: boolean): Promise<string>
  /** Mounts its disk, or unmounts it. Absent: it has no disk that a shell of ours mounts. */
  mount?(isMounted: boolean): void
  /** Names a listener of the code that programs execute: the checksum of each page, when first fetched without a translation. */
  watchCode?(note: ((page: string) => void) | undefined): void
  /** Bytes of memory that it and its clones take, and that are left for them. */
  room?(): { readonly used: number; readonly left: number }
  /** Makes a machine that goes on from this instant by itself, with the frames in flight to this one. @param disk - a copy of its disk */
  fork(listener: GuestListener, disk: ClusterDisk | undefined): Promise<ClusterGuest>
  /** Ends the machine. */
  close(): void
}

/** The start of a machine. */
export interface MachineStart {
  /** Of its random numbers: 32 bits. */
  readonly seed: number
  /** The instant, in nanoseconds since the cluster's begin. */
  readonly ns: number
  /** The disk of a machine that has one: blank at the first start, and as the last machine has left it at later ones. */
  readonly disk: ClusterDisk | undefined
  /** The machines that its programs find by their names; absent: the cluster has no resolver. */
  readonly named?: readonly number[]
  /** Name of its recording: the run is taken down, and the host may record the machine. */
  readonly recording?: string
}

/** A maker of a cluster's machines. */
export interface ClusterHost {
  /** Makes the disk of a machine, for the starts of that machine. Absent: it is a `Disk`. @param seed, name - of its draws */
  makeDisk?(machine: PlacedMachine, seed: Seed, name: string): ClusterDisk
  /** Makes a machine, at rest. @throws errors of a machine that cannot be made */
  make(machine: PlacedMachine, start: MachineStart, listener: GuestListener): Promise<ClusterGuest>
}
