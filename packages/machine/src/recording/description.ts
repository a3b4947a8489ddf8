import { crc32 } from '@retrap/snapshot'
import { epochOf } from '../life/host.ts'
import { type PcOptions, processorOf } from '../options/pc-options.ts'
import type { PcSnapshotMachine } from '../options/pc-snapshot.ts'
import { machineOf } from '../pc/pc-state.ts'
import { backEndFacts, type BackEndFacts } from './back-end-gate.ts'
import type { PacedRun } from './replay-gate.ts'
import type { FlashFacts } from './recorded-flash.ts'
import type { X86Domain } from '@retrap/hvm'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { noteAll } from './record-gate.ts'

/** The registers of a PC's processors. Here, so that an Arm board does not carry x86's. */
export const noteRegisters = (vcpus: X86Domain['vcpus']): Uint8Array =>
  noteAll(vcpus, ({ cpu }) => saveVcpuRegisters(cpu))

/** The machine that a recording is of: what a replay must be made with again. */
export interface RecordedMachine extends PcSnapshotMachine {
  /** Processor. */
  readonly cpu: string
  /** Wall-clock time at power-on, seconds from 1970. */
  readonly epochSeconds: number
  /** CRC-32 of what it starts. */
  readonly images: readonly number[]
}

/** A recording's description of its run. */
export interface RunDescription extends PacedRun {
  /** Version of this shape. */
  readonly version: 1
  /** The machine. */
  readonly machine: RecordedMachine
  /** The facts about its back ends. */
  readonly backEnds: BackEndFacts
  /** The notes of the program that recorded it. */
  readonly about: unknown
}

/** Returns a recording's description of the machine that options make. */
export function recordedMachine(options: PcOptions): RecordedMachine {
  const { kernel, initrd, modules = [], firmware, flash = [], commandLine = '', optionRoms = [] } = options
  const text = new TextEncoder().encode(commandLine)
  const images = [
    kernel,
    initrd,
    ...modules.map(({ bytes }) => bytes),
    firmware,
    ...optionRoms.map(({ bytes }) => bytes),
    text,
  ]
  return {
    ...machineOf(options),
    cpu: JSON.stringify(processorOf(options)),
    epochSeconds: epochOf(options),
    images: [flash.length, ...images.map((bytes) => (bytes === undefined ? 0 : crc32(bytes)))],
  }
}

/** Returns a recording's description of its run. @param flash - the contents of its flash memories */
export const describeRun = (options: PcOptions, about: unknown, flash: readonly FlashFacts[] = []): RunDescription => ({
  version: 1,
  machine: recordedMachine(options),
  backEnds: backEndFacts(options, flash),
  about: about ?? null,
})
