/** The command line's part with machines. */
import { createPc } from '@retrap/machine'
import { createArm } from '@retrap/linux-guest/machine/arm-machine'
import { formatIntel, decode } from '@retrap/x86-decoder'
import { runCli, type CliHost } from './cli.ts'
import { loadInterpreters } from '@retrap/linux-guest/machine/interpreters'
import type { Machine, MachineOptions, PcMachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { onStuck } from './machine/devices/stuck-watch.ts'
import { onSignal, type SessionOutput } from './machine/session/session-host.ts'
import { plainOutput } from './print-lines.ts'
import { usage } from './options/values.ts'
import { spawn } from 'node:child_process'
import { ExitCode } from './exit-codes.ts'

// --daemonize: the run goes on in a process of its own, which its user's shell does not wait for.
/** Environment variable by which a child knows that a parent waits for a report that its run has begun. */
const VARIABLE = 'RETRAP_DAEMON'

/**
 * Runs a command line in another process, and returns when its machine exists.
 *
 * @param stderr - gets the other process's output until then
 * @returns 0, or the exit code of a run that has ended before
 */
export async function daemonize(args: readonly string[], stderr: SessionOutput): Promise<number> {
  const [, program = ''] = process.argv
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, [VARIABLE]: '1' },
  })
  child.stderr?.on('data', (bytes: Uint8Array) => stderr.write(bytes))
  const code = await new Promise<number>((resolve) => {
    child.once('message', () => resolve(ExitCode.PowerOff))
    child.once('close', (ended) => resolve(ended ?? ExitCode.InternalError))
    child.once('error', () => resolve(ExitCode.InternalError))
  })
  if (child.connected) child.disconnect()
  child.stderr?.destroy()
  child.unref()
  return code
}

/** Says to a parent that waits for it that the run has begun. */
export function tellParent(): void {
  if (process.env[VARIABLE] === undefined || process.send === undefined) return
  delete process.env[VARIABLE]
  process.send('begun', () => process.connected && process.disconnect())
}

/** Makes a machine. The buffers of its images, which are in its memory now, are freed at once and not by a collector. */
export async function createMachine(options: MachineOptions): Promise<Machine> {
  if (options.architecture === 'arm64') return createArm(options)
  if (options.gic !== undefined) throw usage('--machine virt is there for --arch arm64')
  if (options.deviceNodes !== undefined) throw usage('--device-node: a PC has no device tree; give --arch arm64')
  await loadInterpreters('x86')
  const pc = await createPc(options as PcMachineOptions)
  const { kernel, initrd, firmware, flash, modules = [] } = options
  // Firmware asks for the kernel while the machine runs.
  const loaded =
    firmware === undefined && flash === undefined ? [kernel, initrd, ...modules.map(({ bytes }) => bytes)] : []
  for (const image of [...loaded, firmware]) {
    if (image?.buffer instanceof ArrayBuffer) image.buffer.transfer(0)
  }
  return pc
}

/** Output waits for a reader, or a machine for its devices, and the process does not. */
let abandoned = false

const host: CliHost = {
  createMachine,
  disassemble: ({ bytes, mode, address }) => formatIntel(decode(bytes, { mode, address })),
  embeddedGuest: async () => (await import('@retrap/embedded-guest')).buildGuestImage(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: plainOutput(process.stderr),
  onUncaught(listener) {
    process.on('uncaughtException', listener)
    return () => process.off('uncaughtException', listener)
  },
  onStuck,
  abandon() {
    abandoned = true
  },
  onSignal,
  daemonize,
  begun: tellParent,
}

/**
 * Runs the command line on this process.
 *
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  const code = await runCli(args, host)
  if (abandoned) process.exit(code)
  return code
}
