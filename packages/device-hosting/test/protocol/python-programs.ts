/** Python programs that tests of the device protocol start. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { startServer } from './raw-client.ts'

/** The library's folder. */
export const SDK = fileURLToPath(new URL('../../sdk/python', import.meta.url))
/** The environment of programs that import the library. */
export const ENV = { PYTHONPATH: SDK, PYTHONDONTWRITEBYTECODE: '1' }
/** The arguments that run an example. */
export const example = (name: string): string[] => ['-W', 'error', join(SDK, 'examples', `${name}.py`)]
/** Whether the host has Python. */
export const there: boolean = hasProgram('python3')
/** The interpreter itself: `python3` may be a script that looks for it. */
export const PYTHON: string = there
  ? execFileSync('python3', ['-c', 'import sys; print(sys.executable)']).toString().trim()
  : 'python3'
/** Stands behind the name of tests that need Python. */
export const LACK: string = skipNote(there, 'no python3')
if (!there) console.warn('SKIPPED: the Python library needs python3')

/** A program of a few lines whose devices are objects of class D. */
export const program = (...lines: readonly string[]): string[] => {
  const head = ['import asyncio, os', 'from retrap_device import *', 'class D(Device):', '  name = "d"']
  return ['-W', 'error', '-c', [...head, ...lines.map((line) => `  ${line}`), 'serve(D)'].join('\n')]
}
export const start = (...lines: readonly string[]) => startServer(PYTHON, program(...lines), ENV)
/** The devices answer at one range. */
export const RANGE = 'def __init__(self): self.mmio(0x1000, 0x1000)'
/** Nobody waits for writes to it. */
export const BUFFERED = 'def __init__(self): self.mmio(0x1000, 0x1000, buffered=True)'
