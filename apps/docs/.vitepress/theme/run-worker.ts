// Runs a program of a page. What it prints goes to the page, and so does its end.
import { type Program, runProgram, shown } from './program.ts'

function tell(kind: 'log' | 'error' | 'done', text = ''): void {
  postMessage({ kind, text })
}

for (const name of ['log', 'info', 'warn', 'error'] as const)
  console[name] = (...values: unknown[]) => tell('log', values.map(shown).join(' '))

addEventListener(
  'message',
  ({ data }: MessageEvent<Program>) =>
    void runProgram(data).then(
      () => tell('done'),
      (error: unknown) => tell('error', String(error)),
    ),
  { once: true },
)
