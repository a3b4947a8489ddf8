import type { BlockProperties } from '@retrap/device'
import { factsOf, type NetworkFacts } from '../back-ends/packets.ts'
import { NO_MEDIUM } from '../devices/removable-drive.ts'
import type { MachineBoard } from '../refusals/refusals.ts'
import { type ComposedOptions, traitsOf } from '../refusals/traits.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import { epochOf, type PowerOnOptions } from '../lifecycle/host.ts'
import type { MachineGdbOptions, ShowToGdb } from '../debugger/machine-gdb-target.ts'
import type { PlaceRules } from '../debugger/debugged-cpu.ts'
import type { SteppedCode } from './call-steps.ts'
import type { MachineGate } from '../machine/machine-gate.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import { type FlashFacts, recordedFlash } from './recorded-flash.ts'
import type { PacedRun } from './record-gate.ts'

/** How runs of machines of a kind are recorded, and run again. */
export interface RecordedKind<K extends MachineKind, M extends Machine<K>> {
  /** The board of a machine's options, in the table of combinations. */
  board(options: K['options']): MachineBoard
  /** Returns the options that a replay must be made with again: plain data. */
  describe(options: K['options']): object
  /** Returns the processors' registers, which are noted now and then. */
  notes(domain: K['domain']): Uint8Array
  /** Loads the debugger's view of these machines. */
  debugging(): Promise<RunDebugging<K>>
  /** Makes a machine. */
  make(options: K['options'], gate: MachineGate<K>): Promise<M>
}

/** How debuggers that go through a run see machines of a kind. */
export interface RunDebugging<K extends MachineKind> {
  /** The places that the processors can stop at. */
  readonly places: PlaceRules
  /** Shows a machine to gdb. */
  readonly show: ShowToGdb<K['domain'], MachineGdbOptions>
  /** Reads where a vCPU is, for steps over calls. */
  stepped(vcpu: K['domain']['vcpus'][number]): SteppedCode
}

/** The facts about back ends when the machine was made: plain data that replaces them in a replay. */
export interface BackEndFacts {
  readonly media: readonly BlockProperties[]
  readonly networks: readonly NetworkFacts[]
  readonly flash: readonly FlashFacts[]
  /** Names of local models whose actions are recorded; null or absent: all local models run again. */
  readonly locals?: string | null
  /** Whether unrecorded models respond at once. Absent: a model may not, or an earlier release made the recording. */
  readonly answersAtOnce?: boolean
  /** Servers of the caller's models. */
  readonly servers?: number
}

/** The facts about the back ends that options name. @param flash - contents of its flash memories */
export function backEndFacts(options: ComposedOptions, flash: readonly FlashFacts[]): BackEndFacts {
  const { drives = [], virtio = [], networkCards = [], devices = [], deviceServers = [] } = options
  const cards = [...virtio.filter((device) => device.kind === 'net'), ...networkCards]
  return {
    media: drives.map(({ medium }) => medium?.properties ?? NO_MEDIUM),
    networks: cards.map(({ network }) => factsOf(network)),
    flash,
    locals: nameOfLocals(options),
    answersAtOnce:
      options.devicePlacement !== 'deferred' &&
      devices.every(({ deterministic, synchronous }) => deterministic === true || synchronous !== false),
    servers: deviceServers.length,
  }
}

/** Returns the name of the recorded local models, for errors and as the writer of memory; null: none. */
function nameOfLocals(options: ComposedOptions): string | null {
  const traits = traitsOf(options)
  const others = (['share', 'vsock', 'virtio-device', 'virtio-mmio', 'usb-device'] as const).some((trait) =>
    traits.has(trait),
  )
  const [first, second] = (options.devices ?? []).filter(({ deterministic }) => deterministic !== true)
  if (first === undefined && !others) return null
  // Several models share one name.
  return first === undefined || second !== undefined || others ? 'recorded models' : first.name
}

/** A recording's description of its run. */
export interface RunDescription extends PacedRun {
  /** Version of this shape. */
  readonly version: 1
  /** The recorded machine's options: a replay must be made with the same ones. */
  readonly machine: object
  /** The facts about the run's back ends. */
  readonly backEnds: BackEndFacts
  /** The notes of the recording's program. */
  readonly about: unknown
}

/** Returns a recording's description of its run. @param flash - the contents of its flash memories */
export const describeRun = <K extends MachineKind, M extends Machine<K>>(
  kind: RecordedKind<K, M>,
  options: K['options'],
  about: unknown,
  flash: readonly FlashFacts[] = [],
): RunDescription => ({
  version: 1,
  machine: kind.describe(options),
  backEnds: backEndFacts(options, flash),
  goesOverResets: options.onReset !== undefined,
  about: about ?? null,
})

/** The facts of power-on that a recording has, and a replay takes from it. */
export const powerOnFacts = (options: PowerOnOptions): Pick<PowerOnOptions, 'entropySeed' | 'epochSeconds'> => ({
  epochSeconds: epochOf(options),
  ...(options.entropySeed !== undefined && { entropySeed: options.entropySeed }),
})

/** Bytes by which a guest knows its machine, for the images of a description. */
export const identityBytes = ({ fwCfgFiles = {}, smbios }: MachineOptions): readonly Uint8Array[] => [
  ...Object.values(fwCfgFiles),
  ...(smbios === undefined ? [] : [new TextEncoder().encode(JSON.stringify(smbios))]),
]

/** Returns options with explicit values for all that the recorded machine took from its surroundings. */
export function poweredOn<K extends MachineKind>(
  options: K['options'],
  recorded: RunDescription['machine'] = {},
): K['options'] {
  const { epochSeconds, entropySeed } = recorded as Pick<MachineOptions, 'entropySeed' | 'epochSeconds'>
  return {
    ...options,
    epochSeconds: options.epochSeconds ?? epochSeconds,
    entropySeed: options.entropySeed ?? entropySeed,
  }
}

/** The guest's changes of flash memories now are not to reach their media. */
export const withRecordedFlash = <K extends MachineKind>(
  options: K['options'],
  backEnds: RunDescription['backEnds'] | undefined,
): K['options'] =>
  options.flash === undefined ? options : { ...options, flash: recordedFlash(options.flash, backEnds?.flash) }
