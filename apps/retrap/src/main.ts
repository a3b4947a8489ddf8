#!/usr/bin/env -S node --max-semi-space-size=1
// A young generation of V8's default size would take 40 MiB that the guest's memory budget does not have.
import { ExitCode } from './exit-codes.ts'

const OLDEST_NODE = 22
/** Time for which timers and handles left by a device module keep the process. */
const LEFT_BEHIND_MS = 1000

/** Finds the program that has a command. */
function programOf(
  command: string | undefined,
): Promise<{ readonly main: (args: readonly string[]) => Promise<number> }> {
  if (command === 'disasm') return import('./commands/disasm/main.ts')
  if (command === 'exec') return import('./commands/exec/main.ts')
  // A process that stays for runs of exec; nobody types it.
  if (command === 'exec-stay') return import('./commands/exec/stay/server.ts')
  if (command === 'image') return import('./commands/image/command.ts')
  return import('./machine-main.ts')
}

/** Ends the process, unless it ends by itself before. Output is written first. */
function endSoon(): void {
  setTimeout(() => (process.stdout.writableLength > 0 ? endSoon() : process.exit()), LEFT_BEHIND_MS).unref()
}

try {
  const args = process.argv.slice(2)
  // A message that stderr does not take is lost; the exit code still says how the run ended.
  process.stderr.on('error', () => {})
  // No other module has been loaded yet: an older Node would fail somewhere in the middle.
  if (Number.parseInt(process.versions.node) < OLDEST_NODE) {
    console.error(`retrap: Node ${OLDEST_NODE} or later is needed; this is ${process.version}`)
    process.exit(ExitCode.Usage)
  }
  const { keepCompiled } = await import('./host/files/compile-cache.ts')
  keepCompiled()
  // A machine takes longer to load than most programs take to list.
  const { main } = await programOf(args[0])
  process.exitCode = await main(args)
} catch (error) {
  const [{ inspect }, { printable }] = await Promise.all([import('node:util'), import('@retrap/basics')])
  console.error(printable(inspect(error)))
  process.exitCode = ExitCode.InternalError
}
endSoon()
