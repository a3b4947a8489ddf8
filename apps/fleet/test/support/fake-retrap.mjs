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
for (const piece of (value('print') ?? '').split('|')) {
  process.stdout.write(piece.replaceAll('\\n', '\n'))
  await new Promise((resolve) => setTimeout(resolve, 5))
}
if (args.includes('--flood')) {
  const noise = 'x'.repeat(1 << 16)
  for (let i = 0; i < 400; i++)
    if (!process.stdout.write(noise)) await new Promise((resolve) => process.stdout.once('drain', resolve))
}
if (args.includes('--deaf')) process.on('SIGTERM', () => {})
if (args.includes('--stay')) setInterval(() => {}, 1000)
else process.exitCode = Number(value('exit') ?? 0)
