// `retrap exec` from the built bundle: the second run of `true`, a line there and back, and 200 MB of stdout.
// npm run -s bench -- exec
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const MEGABYTES = 200
const LINES = 50

/** Runs a program in a guest. @param heard - gets its output, and what types a line; an empty one ends the input */
async function exec(
  program: readonly string[],
  heard: (bytes: Buffer, type: (line: string) => void) => void,
): Promise<number> {
  const begin = performance.now()
  const child = spawn(process.execPath, [MAIN, 'exec', '--', ...program], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdout.on('data', (bytes: Buffer) =>
    heard(bytes, (line) => (line === '' ? child.stdin.end() : child.stdin.write(line))),
  )
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`${program.join(' ')} ended with ${String(code)}`)
  return performance.now() - begin
}

const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1] ?? NaN

/** @param args - how many times `true` is run (5) */
export async function run([rounds = '5']: readonly string[]): Promise<void> {
  await exec(['true'], () => {})
  const starts: number[] = []
  for (let round = 0; round < Number(rounds); round++)
    // oxlint-disable-next-line no-await-in-loop -- one at a time
    starts.push(await exec(['true'], () => {}))
  console.log(`start: ${Math.round(median(starts))} ms (median of ${rounds} runs of true)`)

  const trips: number[] = []
  let sent = NaN
  await exec(['sh', '-c', 'echo; exec cat'], (_, type) => {
    if (!Number.isNaN(sent)) trips.push(performance.now() - sent)
    sent = performance.now()
    type(trips.length < LINES ? 'a line\n' : '')
  })
  console.log(`round trip: ${median(trips).toFixed(1)} ms (median of ${LINES} lines through cat)`)

  let [first, last, bytes] = [NaN, NaN, 0]
  await exec(['head', '-c', `${MEGABYTES}M`, '/dev/zero'], (part) => {
    last = performance.now()
    if (bytes === 0) first = last
    bytes += part.length
  })
  console.log(`stdout: ${Math.round(bytes / 1000 / (last - first))} MB/s (${MEGABYTES} MiB of zeros)`)
}
