// Programs that the root scripts start, each with all that it starts itself: a signal to the script ends all of them. Plain
// JavaScript without dependencies, as `go.mjs` is, which runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']
/** How long a program may take to end after a signal, and then what it leaves behind. */
const PATIENCE_MS = 10_000
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
  let started = new Set()
  const pass = (signal) => {
    // A terminal's Ctrl-C reaches a program without a group by itself; it decides what that means.
    if (signal === 'SIGINT' && !isLeader) return
    if (isLeader && stoppedBy !== undefined) {
      if (performance.now() - stoppedAt > SAME_MS) killGroup(child.pid, 'SIGKILL')
      return
    }
    stoppedBy = signal
    stoppedAt = performance.now()
    if (isLeader) started = processesOf(child.pid)
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
        setTimeout(end, PATIENCE_MS).unref()
      })
    })
    return { status, output }
  } finally {
    clearTimeout(timer)
    clearInterval(watch)
    if (isLeader && child.pid !== undefined) await endGroup(child.pid, started)
    for (const signal of SIGNALS) process.off(signal, pass)
  }
}

/** Ends what a program has left behind: its group, what this has started in groups of its own, and what was there before. */
async function endGroup(group, started) {
  let left = processesOf(group, started)
  for (const pid of left) kill(pid, 'SIGTERM')
  for (const begin = performance.now(); left.size > 0 && performance.now() - begin < PATIENCE_MS;) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    left = processesOf(group, left)
  }
  killGroup(group, 'SIGKILL')
  for (const pid of left) kill(pid, 'SIGKILL')
}

/** The processes of a group, with all that they have started, and those of `known` that have not ended. */
function processesOf(group, known = new Set()) {
  const rows = (process.platform === 'linux' ? linuxProcesses() : listedProcesses()).map((line) => line.split(/ +/))
  const all = rows.map(([pid, state, parent, its]) => ({ pid: +pid, state, parent: +parent, its: +its }))
  const found = new Set(all.filter(({ pid, its }) => its === group || known.has(pid)).map(({ pid }) => pid))
  for (let size = -1; size !== found.size;) {
    size = found.size
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
  }
  // What nobody has waited for has ended too.
  for (const { pid, state } of all) if (state?.startsWith('Z')) found.delete(pid)
  return found
}

/** All processes, as proc_pid_stat(5) has them, without their names: number, state, parent, group. */
function linuxProcesses() {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) ? [readFileSync(`/proc/${name}/stat`, 'latin1').replace(/\(.*\) /s, '')] : []
    } catch {
      // It has ended meanwhile.
      return []
    }
  })
}

/** The same, of a system without such files. */
function listedProcesses() {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,stat=,ppid=,pgid='], { encoding: 'utf8' })
  return (stdout ?? '').split('\n').map((line) => line.trim())
}

const killGroup = (group, signal) => kill(-group, signal)

function kill(pid, signal) {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}
