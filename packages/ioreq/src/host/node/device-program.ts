import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import { ProtocolDevices, type ProtocolDevicesOptions } from '../protocol/index.ts'
import type { DevicePlatform } from '../index.ts'
import type { SocketAddress } from './packet-socket.ts'
import { FramePump } from './frame-pump.ts'
import { ProgramGroup } from './program-group.ts'

/** The options of {@link startDeviceProgram}. */
export interface DeviceProgramOptions extends ProtocolDevicesOptions {
  /** The command for a shell: a program and its arguments. */
  readonly command: string
  /**
   * Takes what the program writes to its standard output (1) and error (2): no bytes are its end. No more is read of it before a
   * promise has settled.
   */
  onOutput?(bytes: Uint8Array, fd: 1 | 2): void | Promise<void>
}

/** The options of {@link connectDeviceProgram}. */
export interface DeviceAddressOptions extends ProtocolDevicesOptions {
  /** Where the program listens. */
  readonly address: SocketAddress
  /** How long a lost connection to a program that can go on is tried again, in milliseconds. Default 5000. */
  readonly reconnectMs?: number
}

const RECONNECT_MS = 5000
const RETRY_MS = 50
/** Time to learn the status of a program that has closed its socket. */
const ENDED_MS = 1000

/** Carries a session over a stream. @param onGone - the stream has ended, and this is why */
function carry(
  devices: ProtocolDevices,
  stream: Duplex,
  options: ProtocolDevicesOptions,
  onGone: (why: string) => void,
): void {
  let why = 'it has closed the connection'
  stream.on('error', ({ message }) => (why = `its connection broke: ${message}`))
  stream.on('close', () => onGone(why))
  new FramePump({ devices, stream, tell: (text) => options.onLog?.(text) })
}

/**
 * Starts a program with devices, in any language, which speaks the device protocol on descriptor 3. A program that ends fails its
 * server; a server that is closed ends the program, and all that it has started.
 *
 * @throws IoreqError `ERR_NO_SPACE` where the domain has no room for a server
 */
export function startDeviceProgram(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  given: DeviceProgramOptions,
): ProtocolDevices {
  const { command, ...options } = given
  const started: { group?: ProgramGroup } = {}
  const devices = new ProtocolDevices(dispatch, platform, {
    describedAs: `exec:${command}`,
    ...options,
    onClosed: () => {
      started.group?.end()
      options.onClosed?.()
    },
  })
  const { ended, socket } = (started.group = new ProgramGroup(command, (bytes, fd) => given.onOutput?.(bytes, fd)))
  const gone = (how: string): void => devices.disconnected(new IoreqError('ERR_DEVICE', how))
  if (socket === null) void ended.then(gone)
  else
    carry(devices, socket, options, (why) => {
      // The status of the program says more.
      const timer = setTimeout(gone, ENDED_MS, why)
      void ended.then((how) => {
        clearTimeout(timer)
        gone(how)
      })
    })
  return devices
}

/**
 * Connects to a program with devices, in any language, that listens at an address and speaks the device protocol.
 *
 * @throws IoreqError `ERR_DEVICE` where nobody listens
 */
export async function connectDeviceProgram(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  { address, reconnectMs = RECONNECT_MS, ...options }: DeviceAddressOptions,
): Promise<ProtocolDevices> {
  const dial = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = createConnection(address)
      socket.setNoDelay(true)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(socket)
      })
    })
  const first = await dial().catch((error: Error) => {
    throw new IoreqError('ERR_DEVICE', `device server ${options.name} cannot be reached: ${error.message}`)
  })
  const devices = new ProtocolDevices(dispatch, platform, options)
  const gone = async (why: string): Promise<void> => {
    devices.disconnected()
    const end = performance.now() + reconnectMs
    while (devices.resumable && performance.now() < end) {
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      const socket = await dial().catch(() => null)
      if (socket !== null) return carry(devices, socket, options, (reason) => void gone(reason))
      // oxlint-disable-next-line no-await-in-loop
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
    devices.disconnected(new IoreqError('ERR_DEVICE', why))
  }
  carry(devices, first, options, (why) => void gone(why))
  return devices
}

/** Where a device program is: a command that starts it, or an address that it listens at. */
export type DeviceProgramPlace =
  | { readonly command: string }
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/**
 * Reads the words of `retrap run --device` for a program: `exec:COMMAND`, `unix:PATH` or `tcp:HOST:PORT`.
 *
 * @returns undefined where they are none, or name no program
 */
export function deviceProgramPlace(words: string): DeviceProgramPlace | undefined {
  const [, kind, rest = ''] = /^(exec|unix|tcp):(.*)$/s.exec(words) ?? []
  if (kind === undefined || rest.trim() === '') return undefined
  if (kind === 'exec') return { command: rest }
  if (kind === 'unix') return { path: rest }
  const [, host = '127.0.0.1', digits = ''] = /^(?:(.+):)?(\d+)$/.exec(rest) ?? []
  const port = Number(digits)
  if (digits === '' || port < 1 || port > 0xffff) return undefined
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port }
}

/** Starts a device program, or connects to it. @throws as {@link startDeviceProgram} and {@link connectDeviceProgram} */
export function openDeviceProgram(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  place: DeviceProgramPlace,
  { onOutput, reconnectMs, ...options }: Omit<DeviceProgramOptions & DeviceAddressOptions, 'command' | 'address'>,
): ProtocolDevices | Promise<ProtocolDevices> {
  if ('command' in place) {
    return startDeviceProgram(dispatch, platform, { ...options, ...place, ...(onOutput && { onOutput }) })
  }
  const address = { ...options, address: place, ...(reconnectMs !== undefined && { reconnectMs }) }
  return connectDeviceProgram(dispatch, platform, address)
}
