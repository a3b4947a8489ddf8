// Programs that the root scripts start, each with all that it starts itself: a signal to the script ends all of them. Plain
// JavaScript without dependencies, as `go.mjs` is, which runs before anything is installed.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']
/** How long a program may take to end after a signal, and what it leaves behind after its end. */
const PATIENCE_MS = 10_000
const REST_MS = 2000
/** A terminal and npm may send the same signal; what comes later is another. */
const SAME_MS = 500
/** How often this process looks whether npm is still there: npm passes signals on to a shell, and not every shell does. */
const WATCH_MS = 200
/** Set where a program runs in a group: a script that it starts stays in that group, and ends with it. */
const IN_GROUP = 'RETRAP_GROUP'
const hasGroup = process.platform !== 'win32' && process.env[IN_GROUP] === undefined

let stoppedBy
let stoppedAt = 0

/** The exit code of a process that a signal has ended; undefined if no signal has come. */
export function stopCode() {
  return stoppedBy && 128 + constants.signals[stoppedBy]
}

/**
 * Runs a program to its end. Signals to this process are passed on to it, and the end of npm counts as one. Where it has a
 * group, nothing is left of the group when it has ended; after a signal it has some time to end, and after a second one none.
 *
 * @param options - those of `spawn`, and whether the program gets a `group` of processes: its terminal sends it no signals
 * @returns the exit code, and the text that it printed where its output is piped
 */
export async function runToEnd(name, args, { group = false, env, ...options }) {
  const isLeader = group && hasGroup
  const child = spawn(name, args, {
    ...options,
    env: isLeader ? { ...env, [IN_GROUP]: '1' } : env,
    detached: isLeader,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  let timer
  const pass = (signal) => {
    // A terminal's Ctrl-C reaches a program without a group by itself; it decides what that means.
    if (signal === 'SIGINT' && !isLeader) return
    if (isLeader && stoppedBy !== undefined) {
      if (performance.now() - stoppedAt > SAME_MS) killGroup(child.pid, 'SIGKILL')
      return
    }
    stoppedBy = signal
    stoppedAt = performance.now()
    child.kill(signal)
    if (isLeader) timer = setTimeout(() => killGroup(child.pid, 'SIGKILL'), PATIENCE_MS)
  }
  const parent = process.ppid
  const isWatched = process.env.npm_lifecycle_event !== undefined
  const watch = setInterval(() => {
    if (isWatched && stoppedBy === undefined && process.ppid !== parent) pass('SIGTERM')
  }, WATCH_MS)
  for (const signal of SIGNALS) process.on(signal, pass)
  try {
    const status = await new Promise((resolve, reject) => {
      child.on('error', reject)
      // What is piped is whole when the pipes are closed; a program that outlives the group may keep them open.
      child.on('exit', (code, signal) => {
        const end = () => resolve(code ?? 128 + (constants.signals[signal] ?? 0))
        if (child.stdout === null) return end()
        child.on('close', end)
        setTimeout(end, REST_MS).unref()
      })
    })
    return { status, output }
  } finally {
    clearTimeout(timer)
    clearInterval(watch)
    if (isLeader && child.pid !== undefined) await endGroup(child.pid)
    for (const signal of SIGNALS) process.off(signal, pass)
  }
}

/** Ends what a program has left behind in its group. */
async function endGroup(pid) {
  const step = 20
  for (let waited = 0; killGroup(pid, waited === 0 ? 'SIGTERM' : 0) && waited < REST_MS; waited += step)
    await new Promise((resolve) => setTimeout(resolve, step))
  killGroup(pid, 'SIGKILL')
}

/** @returns whether there is any process of the group */
function killGroup(pid, signal) {
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}
