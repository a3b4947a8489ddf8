// The messages between a cluster and the threads that its machines run in.
import type { MachineStart } from '../host.ts'
import type { PlacedMachine } from '../description.ts'
import type { DiskTrouble } from '../disk.ts'
import type { Seed } from '../draws.ts'
import type { GuestFault, LostSectors } from '../faults.ts'

/** The other end of a thread: a Worker, or a port of one. */
export interface ThreadPort {
  /** Sends a message, which is copied. */
  post(message: unknown): void
  /** Names the listener that gets the messages. */
  onMessage(listener: (message: unknown) => void): void
}

/** The start of a machine, with the number of its disk. */
export type StartTold = Omit<MachineStart, 'disk'> & { readonly disk: number | undefined }

/** Something that is done to a disk. */
export type DiskAct =
  | { readonly act: 'make'; readonly bytes: number; readonly seed: Seed; readonly name: string }
  | { readonly act: 'copy'; readonly to: number }
  | { readonly act: 'reseed'; readonly seed: Seed }
  | { readonly act: 'trouble'; readonly trouble: DiskTrouble }
  | { readonly act: 'stall'; readonly ns: number }
  | { readonly act: 'losePower'; readonly lost: readonly LostSectors[] | undefined }
  | { readonly act: 'reset' | 'close' }

/** The arguments of a program's start behind its name. */
export type StartGiven = readonly [
  words: readonly string[],
  of?: number | undefined,
  copies?: Readonly<Record<string, string>> | undefined,
]

/** A call to a thread. */
export type Call =
  | { readonly do: 'make'; readonly machine: PlacedMachine; readonly start: StartTold }
  | { readonly do: 'fork'; readonly clone: number; readonly disk: number | undefined }
  | { readonly do: 'disk'; readonly disk: number; readonly act: DiskAct }
  | { readonly do: 'deliver'; readonly ns: number; readonly frame: Uint8Array }
  | { readonly do: 'runTo'; readonly ns: number; readonly fromNs: number | undefined }
  | { readonly do: 'turnClock' | 'hasten'; readonly ns: number }
  | { readonly do: 'names'; readonly named: readonly number[] }
  | { readonly do: 'disturb'; readonly kind: GuestFault; readonly amount: number; readonly of: number | undefined }
  | { readonly do: 'kill'; readonly name: string; readonly of: number | undefined }
  | { readonly do: 'start'; readonly name: string; readonly given: StartGiven }
  | { readonly do: 'digest' | 'close' }

/**
 * Calls to a guest, in their order. A message has several requests: what is asked at one time is sent at once. It is answered by a
 * message of as many {@link Reply}s.
 */
export interface Request {
  /** Undefined: the calls are of a disk whose machine is off. */
  readonly guest: number | undefined
  readonly calls: readonly Call[]
}

/** The state of a guest after a call. */
export interface GuestTold {
  readonly now: number
  readonly next: number
  /** Further frames that its card takes notice of; 0 where the card is full. */
  readonly room: number
}

/** A line, a report or an end of a guest, or of a container in it: a method of the listener, and its arguments. */
export type Said = readonly [
  ...[container: number | undefined, method: 'line' | 'report' | 'status' | 'ended'],
  ...[ns: number, text: string, code: number],
]

/** An error that has crossed from one thread to another. */
export interface ErrorTold {
  /** The name of its class. */
  readonly name: string
  /** The code that programs switch on. */
  readonly code: string | undefined
  /** The sentence for people. */
  readonly message: string
}

/** The answer to a request. */
export interface Reply {
  /** Undefined: the guest is not there any more. */
  readonly told: GuestTold | undefined
  readonly said: readonly Said[]
  readonly sent: readonly { readonly ns: number; readonly frame: Uint8Array }[]
  /** Of the last call: why the guest has ended its machine, the digest, or as JSON what a power loss has done. */
  readonly text?: string | undefined
  readonly error?: ErrorTold
}
