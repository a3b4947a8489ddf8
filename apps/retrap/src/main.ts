#!/usr/bin/env -S node --max-semi-space-size=1
// A young generation of V8's default size would take 40 MiB that the guest's memory budget does not have.
import { createPc } from '@retrap/machine'
import { formatIntel, decode } from '@retrap/x86-decoder'
import { runCli, type CliHost } from './cli.ts'
import { ExitCode } from './exit-codes.ts'
import type { Machine, MachineOptions } from './machine-contract.ts'
import type { EndingSignal } from './session.ts'

const ENDING_SIGNALS: readonly EndingSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** A PC whose images are in its memory; what they were read into is given back now and not when a collector comes by. */
async function createMachine(options: MachineOptions): Promise<Machine> {
  const pc = await createPc(options)
  const modules = (options.modules ?? []).map(({ bytes }) => bytes)
  for (const image of [options.kernel, options.initrd, ...modules, options.firmware]) {
    if (image?.buffer instanceof ArrayBuffer) image.buffer.transfer(0)
  }
  return pc
}

const host: CliHost = {
  createMachine,
  disassemble: ({ bytes, mode, address }) => formatIntel(decode(bytes, { mode, address })),
  embeddedGuest: async () => (await import('./guest/index.ts')).buildGuestImage(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  onSignal(listener) {
    for (const signal of ENDING_SIGNALS) process.on(signal, listener)
    return () => {
      for (const signal of ENDING_SIGNALS) process.off(signal, listener)
    }
  },
}

try {
  process.exitCode = await runCli(process.argv.slice(2), host)
} catch (error) {
  console.error(error)
  process.exitCode = ExitCode.InternalError
}
