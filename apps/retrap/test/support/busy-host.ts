import { spawn } from 'node:child_process'
import { fetchInstaller, fetchLinux } from '@retrap/linux-guest/linux/debian'
import { retrapCommand } from './processes.ts'

export async function kernelOf(bits: 32 | 64): Promise<string> {
  if (bits === 64) return (await fetchLinux('linux-image-cloud-amd64')).kernelPath
  return (await fetchInstaller('i386')).kernelPath
}

/** A period of the host's attention. */
const PERIOD_MS = 100
/** The kernel has found its timer when it says this, or panics before. */
const PAST_THE_TIMER = /Calibrating delay loop/
const TIMER_BROKEN = /panic|timer doesn't work|not connected/

/**
 * Boots a kernel on a host that has little time for it: the process is stopped for most of each tenth of a second.
 *
 * @param share - percent of the time for which it may run
 * @returns undefined if the kernel is past its look at the timer, else its output
 */
export async function bootOnBusyHost(kernel: string, share: number, deadlineMs: number): Promise<string | undefined> {
  const args = ['run', '--kernel', kernel, '--append', 'console=ttyS0', '--memory', '256M']
  const child = spawn(process.execPath, retrapCommand(args), { stdio: ['ignore', 'pipe', 'pipe'] })
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  let text = ''
  const take = (piece: string): void => {
    text += piece
    if (PAST_THE_TIMER.test(text)) resolve(TIMER_BROKEN.test(text) ? text : undefined)
    else if (TIMER_BROKEN.test(text)) resolve(text)
  }
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', take)
  child.on('close', () => resolve(`${text}\nthe process has ended`))
  let running = true
  let ended = false
  const turn = (): void => {
    if (ended) return
    // Loading the program is not what is tested.
    const starting = text === ''
    running = starting || !running
    child.kill(running ? 'SIGCONT' : 'SIGSTOP')
    const left = running ? share : 100 - share
    setTimeout(turn, starting ? PERIOD_MS : (PERIOD_MS * left) / 100)
  }
  turn()
  const deadline = setTimeout(() => resolve(`${text}\nno more in ${deadlineMs} ms`), deadlineMs)
  try {
    return await promise
  } finally {
    ended = true
    clearTimeout(deadline)
    child.kill('SIGKILL')
  }
}
