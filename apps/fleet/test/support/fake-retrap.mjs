// Stands for `retrap`: prints and ends as its arguments say.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'

const [, , , ...args] = process.argv
const value = (name) => args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3)
if (args.includes('--schema')) {
  const properties = Object.fromEntries(
    ['kernel', 'hda', 'device', 'record', 'append', 'exit'].map((name) => [name, {}]),
  )
  process.stdout.write(JSON.stringify({ properties }))
}
// Before it prints: a machine is ended when its texts are there.
if (value('record') !== undefined) writeFileSync(value('record'), 'what has happened')
if (value('kernel') !== undefined) process.stdout.write(`kernel ${readFileSync(value('kernel'), 'utf8')}\n`)
if (value('hda') !== undefined) {
  appendFileSync(value('hda'), ' and written')
  process.stdout.write(`disk ${readFileSync(value('hda'), 'utf8')}\n`)
}
// The first process of such a job does not end by itself.
const first = value('first')
if (first !== undefined && !existsSync(first)) {
  writeFileSync(first, String(process.pid))
  setInterval(() => {}, 1000)
  await new Promise(() => {})
}
// So many processes are ended by the host, one after the other.
// A cluster's branches, of which some fail.
if (value('branches') !== undefined) {
  const [from, to] = value('branches').split('-').map(Number)
  const seed = Number(value('seed'))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const bad = [1, 2, 3].map((i) => i * seed).find((branch) => branch >= from && branch <= to)
  const findings = bad ? [{ branch: bad, plan: { seed, branch: bad, failure: 'bad\u0007', faults: [{ at: 1 }] } }] : []
  const explored = { kind: 'explored', seed, branches: (bad ?? to) - from + 1, findings }
  process.stdout.write(`{"kind":"branch"}\n${JSON.stringify(explored)}\n`)
  process.exit(bad ? 1 : 0)
}
const killed = value('killed')
if (killed !== undefined && readFileSync(killed, 'utf8').length > 0) {
  writeFileSync(killed, readFileSync(killed, 'utf8').slice(1))
  // A guest that hears its power button ends as if by itself.
  process.once('SIGTERM', () => process.exit(0))
  process.kill(process.pid, args.includes('--heeds') ? 'SIGTERM' : 'SIGKILL')
  await new Promise((resolve) => setTimeout(resolve, 60_000))
}
for (const piece of (value('print') ?? '').split('|')) {
  process.stdout.write(piece.replaceAll('\\n', '\n'))
  await new Promise((resolve) => setTimeout(resolve, 5))
}
if (value('wait') !== undefined) await new Promise((resolve) => setTimeout(resolve, Number(value('wait'))))
if (args.includes('--flood')) {
  const noise = 'x'.repeat(1 << 16)
  for (let i = 0; i < 400; i++)
    if (!process.stdout.write(noise)) await new Promise((resolve) => process.stdout.once('drain', resolve))
}
if (args.includes('--deaf')) process.on('SIGINT', () => {})
if (args.includes('--stay')) setInterval(() => {}, 1000)
else process.exitCode = Number(value('exit') ?? 0)
