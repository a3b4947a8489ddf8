import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import { type Clock, type DeviceModel } from '@retrap/device'
import { intercepted } from '@retrap/device/host'
import { timeOf } from '../frames.ts'
import { ProtocolDevices, type ProtocolDevicesOptions } from '../protocol/index.ts'
import { ProtocolEnd, type ProtocolEndOptions } from '../protocol/protocol-end.ts'
import type { DevicePlatform } from '../index.ts'
import type { SocketAddress } from './frame-socket.ts'
import { pumpFrames } from './frame-pump.ts'
import { ProgramGroup } from './program-group.ts'

/** The options of {@link startDeviceProgram}. */
export interface DeviceProgramOptions extends ProtocolDevicesOptions {
  /** The command for a shell: a program and its arguments. */
  readonly command: string
  /**
   * Takes the program's standard output (1) and error (2): no bytes are the end of the stream. No more is read of it before a
   * promise has settled.
   */
  onOutput?(bytes: Uint8Array, fd: 1 | 2): void | Promise<void>
}

/** The options of {@link connectDeviceProgram}. */
export interface DeviceAddressOptions extends ProtocolDevicesOptions {
  /** The address at which the program listens. */
  readonly address: SocketAddress
  /** Time for which a lost connection to a program that can continue is tried again, in milliseconds. Default 5000. */
  readonly reconnectMs?: number
}

const RECONNECT_MS = 5000
/** Time limit for a host to accept a connection, in milliseconds. */
const DIAL_MS = 5000
const RETRY_MS = 50
/** Time to learn the status of a program that has closed its socket. */
const ENDED_MS = 1000

/** Carries a session over a stream. @param onGone - the stream has ended, and this is why */
function carry(end: ProtocolEnd, stream: Duplex, options: ProtocolEndOptions, onGone: (why: string) => void): void {
  let why = 'it has closed the connection'
  stream.on('error', ({ message }) => (why = `its connection broke: ${message}`))
  stream.on('close', () => onGone(why))
  pumpFrames({ end, stream, tell: (text) => options.onLog?.(text) })
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
  started.group = runProgram(devices.end, given)
  return devices
}

/** Runs a program as the server of a session. */
function runProgram(
  end: ProtocolEnd,
  options: ProtocolEndOptions & Pick<DeviceProgramOptions, 'command' | 'onOutput'>,
) {
  const group = new ProgramGroup(options.command, (bytes, fd) => options.onOutput?.(bytes, fd))
  const { ended, socket } = group
  const gone = (how: string): void => end.disconnected(new IoreqError('ERR_DEVICE', how))
  if (socket === null) void ended.then(({ how }) => gone(`its program ${how}`))
  else
    carry(end, socket, options, (why) => {
      // The status of the program says more.
      const timer = setTimeout(gone, ENDED_MS, why)
      void ended.then(({ how }) => {
        clearTimeout(timer)
        gone(`its program ${how}`)
      })
    })
  return group
}

/**
 * Connects to a program with devices, in any language, that listens at an address and speaks the device protocol.
 *
 * @throws IoreqError `ERR_DEVICE` where nothing listens
 */
export async function connectDeviceProgram(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceAddressOptions,
): Promise<ProtocolDevices> {
  const first = await dial(options)
  const devices = new ProtocolDevices(dispatch, platform, options)
  keepConnected(devices.end, first, options)
  return devices
}

type Dialed = Pick<DeviceAddressOptions, 'name' | 'address'>

/** @throws IoreqError `ERR_DEVICE` where nothing listens */
function dial({ name, address }: Dialed): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(address)
    socket.setNoDelay(true)
    const late = setTimeout(() => socket.destroy(new Error(`no answer within ${DIAL_MS / 1000} s`)), DIAL_MS)
    const failed = ({ message }: Error): void =>
      reject(new IoreqError('ERR_DEVICE', `device server ${name} cannot be reached: ${message}`))
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.removeListener('error', failed)
      resolve(socket)
    })
    for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(late))
  })
}

/** Carries a session over a connection, and over others after it. */
function keepConnected(
  end: ProtocolEnd,
  first: Socket,
  options: ProtocolEndOptions & Dialed & Pick<DeviceAddressOptions, 'reconnectMs'>,
): void {
  const { reconnectMs = RECONNECT_MS } = options
  const gone = async (why: string): Promise<void> => {
    end.disconnected()
    const last = performance.now() + reconnectMs
    while (end.resumable && performance.now() < last) {
      const socket = await dial(options).catch(() => null)
      if (socket !== null) return carry(end, socket, options, (reason) => void gone(reason))
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
    end.disconnected(new IoreqError('ERR_DEVICE', why))
  }
  carry(end, first, options, (why) => void gone(why))
}

/** A device program: a command that starts it, or an address at which it listens. */
export type DeviceProgramPlace =
  | { readonly command: string }
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/**
 * Reads the words of `retrap run --device` for a program: `exec:COMMAND`, `unix:PATH` or `tcp:HOST:PORT`.
 *
 * @returns undefined for words that name no program
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

/** The options of {@link openDeviceModel}. */
export interface DeviceModelOptions
  extends
    ProtocolEndOptions,
    Pick<DeviceProgramOptions, 'name' | 'onOutput'>,
    Pick<DeviceAddressOptions, 'reconnectMs'> {
  /** The machine's clock. */
  readonly clock: Clock
  /** The device cannot go on, or its program is gone: it is to be taken out. */
  onFailed(error: IoreqError): void
  /** The device has left the machine: its program ends. */
  onClosed?(): void
}

/**
 * Starts a device program, or connects to it, for a machine that plugs its one device in: a model like others, which takes its
 * program with it when it leaves the machine.
 *
 * @throws IoreqError `ERR_DEVICE` for a program that does not exist, is not ready in time, or does not have exactly one device
 */
export async function openDeviceModel(place: DeviceProgramPlace, options: DeviceModelOptions): Promise<DeviceModel> {
  const { clock, name } = options
  const inWords = ({ code, message }: { readonly code: IoreqError['code']; readonly message: string }): IoreqError =>
    new IoreqError(code, `device server ${name}: ${message}`)
  const end = new ProtocolEnd(
    {
      isPulled: true,
      now: () => timeOf(clock),
      failed: (error) => {
        group?.end()
        options.onFailed(inWords(error))
      },
      faulted: (_device, message) => options.onFailed(inWords({ code: 'ERR_DEVICE', message })),
    },
    { ...options, realTime: clock.realTime ?? false },
  )
  const close = (why: string): void => {
    end.close(why)
    group?.end()
  }
  let group: ProgramGroup | undefined
  if ('command' in place) group = runProgram(end, { ...options, ...place })
  else {
    const address = { ...options, address: place }
    keepConnected(end, await dial(address), address)
  }
  const devices = await end.ready.catch((error: IoreqError) => {
    throw inWords(error)
  })
  const [device] = devices
  if (device === undefined || devices.length > 1) {
    close('a port has room for one device')
    throw inWords({ code: 'ERR_DEVICE', message: `it has ${devices.length} devices, and a port has room for one` })
  }
  return intercepted(end.modelOf(device), (method, given, member) => {
    const result: unknown = method(...given)
    if (member === 'attach') end.attached()
    if (member === 'removed') {
      close('the device is out')
      options.onClosed?.()
    }
    return result
  })
}
