import { type ChildProcess, spawn } from 'node:child_process'
import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import { ProtocolDevices, type ProtocolDevicesOptions } from '../protocol/index.ts'
import type { DevicePlatform } from '../index.ts'
import type { SocketAddress } from './packet-socket.ts'

/** The options of {@link startDeviceProgram}. */
export interface DeviceProgramOptions extends ProtocolDevicesOptions {
  /** The command for a shell: a program and its arguments. */
  readonly command: string
  /** Takes what the program writes to its standard output and error. */
  onOutput?(bytes: Uint8Array): void
}

/** The options of {@link connectDeviceProgram}. */
export interface DeviceAddressOptions extends ProtocolDevicesOptions {
  /** Where the program listens. */
  readonly address: SocketAddress
  /** How long a lost connection to a program that can go on is tried again, in milliseconds. Default 5000. */
  readonly reconnectMs?: number
}

/** The descriptor of a program's end of the socket; its environment has it as `RETRAP_DEVICE_FD`. */
const DEVICE_FD = 3
const RECONNECT_MS = 5000
const RETRY_MS = 50
/** Time that a program has to end by itself when its socket is closed. */
const GRACE_MS = 1000

/** Carries a session over a stream. @param onGone - the stream has ended, and this is why */
function carry(devices: ProtocolDevices, stream: Duplex, onGone: (why: string) => void): void {
  let why = 'it has closed the connection'
  stream.on('error', ({ message }) => (why = `its connection broke: ${message}`))
  stream.on('close', () => onGone(why))
  const receive = devices.connect({
    get backlog() {
      return stream.writableLength
    },
    write: (bytes) => void (stream.writable && stream.write(bytes)),
    close: () => void stream.end(),
  })
  stream.on('data', receive)
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
  const started: { child?: ChildProcess } = {}
  const devices = new ProtocolDevices(dispatch, platform, {
    ...options,
    onClosed: () => {
      if (started.child !== undefined) endGroup(started.child)
      options.onClosed?.()
    },
  })
  const child = (started.child = spawn(command, {
    shell: true,
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, RETRAP_DEVICE_FD: String(DEVICE_FD) },
  }))
  const [, stdout, stderr, socket] = child.stdio
  for (const output of [stdout, stderr]) output?.on('data', (bytes: Uint8Array) => given.onOutput?.(bytes))
  const ended = new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(`cannot be started: ${message}`))
    child.once('exit', (code, signal) => resolve(`ended with ${code === null ? signal : `status ${code}`}`))
  })
  carry(devices, socket as Duplex, (why) => {
    // The status of the program says more.
    const timer = setTimeout(() => gone(why), GRACE_MS)
    const gone = (how: string): void => {
      clearTimeout(timer)
      devices.disconnected(new IoreqError('ERR_DEVICE', how))
    }
    void ended.then((how) => gone(`its program ${how}`))
  })
  return devices
}

/** Programs that are to end with this process. */
const groups = new Set<ChildProcess>()

/** Ends a program, and the processes of its group. */
function endGroup(child: ChildProcess): void {
  const signal = (name: NodeJS.Signals): void => {
    try {
      if (process.platform === 'win32' || child.pid === undefined) child.kill(name)
      else process.kill(-child.pid, name)
    } catch {
      // None is left.
    }
  }
  if (groups.size === 0) process.once('exit', () => groups.forEach((each) => void each.kill('SIGKILL')))
  groups.add(child)
  const timer = setTimeout(() => signal('SIGKILL'), GRACE_MS)
  // The machine may end meanwhile; it need not wait for them.
  timer.unref()
  signal('SIGTERM')
  child.once('exit', () => {
    groups.delete(child)
    clearTimeout(timer)
    signal('SIGKILL')
  })
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
      if (socket !== null) return carry(devices, socket, (reason) => void gone(reason))
      // oxlint-disable-next-line no-await-in-loop
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
    devices.disconnected(new IoreqError('ERR_DEVICE', why))
  }
  carry(devices, first, (why) => void gone(why))
  return devices
}
