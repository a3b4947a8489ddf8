#!/usr/bin/env node
import { createPc } from '@retrap/machine'
import { formatIntel, decode } from '@retrap/x86-decoder'
import { runCli, type CliHost } from './cli.ts'
import { ExitCode } from './exit-codes.ts'
import type { EndingSignal } from './session.ts'

const ENDING_SIGNALS: readonly EndingSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

const host: CliHost = {
  createMachine: createPc,
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
