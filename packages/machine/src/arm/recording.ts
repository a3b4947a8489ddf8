import { crc32 } from '@retrap/basics'
import type { ArmDomain } from '@retrap/hvm/arm'
import { identityBytes, powerOnFacts, type RecordedKind } from '../recording/description.ts'
import { type MachineRecorder, recordMachine, type RecordOptions } from '../recording/record.ts'
import { noteAll } from '../recording/record-gate.ts'
import { MachineReplay } from '../recording/replay.ts'
import type { RecordingSource, ReplayOptions, RunReplay } from '../recording/run-replay.ts'
import { ArmMachine } from './machine.ts'
import type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
import type { ArmKind } from './virt-board.ts'

/** An Arm board whose run is recorded. */
export type ArmRecorder = MachineRecorder<ArmMachine>

/** A recorded run of an Arm board that is run again. */
export type ArmReplay = RunReplay<ArmMachine>

/** Returns the options that a replay must be made with again. */
function recordedMachine(options: ArmMachineOptions): object {
  const { memoryBytes, cpus = 1, gic = 3, kernel, initrd, commandLine = '' } = options
  const images = [kernel, initrd, new TextEncoder().encode(commandLine), ...identityBytes(options)]
  return {
    machine: 'virt',
    memoryBytes,
    cpus,
    gic,
    ...powerOnFacts(options),
    images: images.map((bytes) => (bytes === undefined ? 0 : crc32(bytes))),
  }
}

const notesOf = (domain: ArmDomain): Uint8Array =>
  noteAll(domain.vcpus, ({ processor }) => {
    const saved = Object.entries(processor.registers.save())
    return Object.fromEntries(
      saved.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value]),
    )
  })

/** How runs of Arm boards are recorded, and run again. */
const VIRT_RUNS: RecordedKind<ArmKind, ArmMachine> = {
  board: () => 'virt',
  describe: recordedMachine,
  notes: notesOf,
  debugging: async () => {
    const [{ ARM_PLACES: places, armGdbMachine: show }, { armStepped: stepped }] = await Promise.all([
      import('./debugger/arm-debugger.ts'),
      import('./call-stack.ts'),
    ])
    return { places, show, stepped }
  },
  make: (options, gate) => ArmMachine.create(options, gate),
}

/**
 * Makes an Arm board whose run is recorded, as `recordPc` does. It needs deterministic time.
 *
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; as `createArmMachine`
 */
export async function recordArmMachine(
  options: ArmMachineOptions,
  write: (bytes: Uint8Array) => unknown,
  given: RecordOptions = {},
): Promise<ArmRecorder> {
  return recordMachine(VIRT_RUNS, write, given, async (gateFor) => {
    const gate = await gateFor(options, options.snapshot === undefined)
    return ArmMachine.create(options, gate)
  })
}

/**
 * Makes a clone, as `machine.fork` does, whose run is recorded from its first instruction on: as `recordClone` does for a PC.
 *
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; as `ArmMachine.fork`
 */
export async function recordArmClone(
  source: ArmMachine,
  write: (bytes: Uint8Array) => unknown,
  given: RecordOptions = {},
  changes: ArmForkOptions = {},
): Promise<ArmRecorder> {
  return recordMachine(VIRT_RUNS, write, given, (gateFor) =>
    source.forkBehind(changes, (options) => gateFor(options, false)),
  )
}

/**
 * Opens a recording of an Arm board, to run it again.
 *
 * @param options - the options of the recorded machine; back ends may differ
 * @throws RecordingError for an invalid or damaged file; MachineError `ERR_OPTION` for options of another machine; as
 *   `createArmMachine`
 */
export function replayArmMachine(
  options: ArmMachineOptions,
  source: RecordingSource,
  given: ReplayOptions<ArmMachine> = {},
): Promise<ArmReplay> {
  return MachineReplay.open(VIRT_RUNS, source, options, given)
}
