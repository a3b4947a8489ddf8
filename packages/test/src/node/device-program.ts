import { deviceProgramPlace, openDeviceProgram } from '@retrap/device-hosting/node'
import type { ProtocolDevicesOptions } from '@retrap/device-hosting/protocol'
import type { StartDeviceServer } from '@retrap/machine'
import { type FaultStage, TestError } from '../index.ts'
import type { StartFaulty } from '../faults/explore.ts'

/** Options of a device program in a test's machine. */
export interface DeviceProgramTestOptions {
  /** The accessible part of guest memory. Default: all. */
  readonly bounds?: ProtocolDevicesOptions['bounds']
  /** PCI device number of the first device without one; further devices get the next numbers. Default 16. */
  readonly addr?: number | undefined
  /** Gets the program's log and output. Default: the standard error stream. */
  readonly onOutput?: ((text: string) => void) | undefined
}

const FIRST_SLOT = 0x10

/**
 * A device that is a program in any language, for a test with faults, or without by `deviceServers` of a machine.
 *
 * @param words - a device as for `retrap run --device`: `exec:COMMAND`, `unix:PATH` or `tcp:HOST:PORT`. A command is started for
 * each machine
 * @returns a function that starts the program; without a stage it has no faults
 * @throws TestError `ERR_OPTION` for an invalid address
 */
export function deviceProgram(
  words: string,
  { bounds, addr = FIRST_SLOT, onOutput = (text) => void process.stderr.write(text) }: DeviceProgramTestOptions = {},
): StartFaulty & ((stage?: FaultStage) => StartDeviceServer) {
  const place = deviceProgramPlace(words)
  if (place === undefined)
    throw new TestError('ERR_OPTION', `device '${words}': expected exec:COMMAND, unix:PATH or tcp:HOST:PORT`)
  return (stage) => (dispatch, platform, realTime) => {
    const decoders = { 1: new TextDecoder(), 2: new TextDecoder() }
    let next = addr
    return openDeviceProgram(dispatch, platform, place, {
      ...{ name: words, realTime, place: () => next++ },
      ...(bounds && { bounds }),
      ...(stage && { wrap: (model, remove) => stage.wrap(model, remove) }),
      onLog: (text) => onOutput(`${text}\n`),
      onOutput: (bytes, fd) => onOutput(decoders[fd].decode(bytes, { stream: true })),
    })
  }
}
