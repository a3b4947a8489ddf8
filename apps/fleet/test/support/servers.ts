/** Servers of queues, each with its files in a folder. They are killed and begin anew in tests. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

export interface QueueServerProcess {
  readonly process: ChildProcess
  readonly url: string
}

/** A port of the loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

/** Starts a Redis that keeps each command in its file before it answers. */
export async function startRedis(folder: string, port: number): Promise<QueueServerProcess> {
  const options = `--port ${port} --bind 127.0.0.1 --appendonly yes --appendfsync always --dir`.split(' ')
  const server = spawn('redis-server', [...options, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const bytes of server.stdout ?? []) if (String(bytes).includes('Ready to accept connections')) break
  server.stdout?.resume()
  return { process: server, url: `redis://127.0.0.1:${port}` }
}

const isRoot = process.getuid?.() === 0
/** In a user namespace of its own a process is not root, and yet reaches programs that were fetched into root's cache. */
const hasNamespaces = isRoot && spawnSync('unshare', ['-U', 'true']).status === 0
const NAMESPACE = ['unshare', '-U'] as const

/** Starts a PostgreSQL, which root must not run: it is the user nobody's then. */
export async function startPostgres(folder: string, port: number): Promise<QueueServerProcess> {
  const data = join(folder, 'postgres')
  const user = isRoot && !hasNamespaces ? { uid: 65_534, gid: 65_534 } : {}
  const command = (name: string, options: readonly string[]): readonly [string, string[]] => {
    const [program, ...args] = [...(hasNamespaces ? NAMESPACE : []), name, ...options]
    return [program ?? name, args]
  }
  if (!existsSync(data)) {
    mkdirSync(data, { mode: 0o700 })
    if (user.uid !== undefined) chownSync(data, user.uid, user.gid)
    const options = ['-D', data, '-U', 'retrap', '-A', 'trust', '-E', 'UTF8', '--locale=C']
    execFileSync(...command('initdb', options), { ...user, cwd: '/', stdio: 'pipe' })
  }
  const options = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', data]
  const server = spawn(...command('postgres', options), { ...user, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] })
  // It answers after it has repaired what its end has left.
  let said = ''
  const ready = new Promise<void>((resolve, reject) => {
    server.stderr?.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      if (said.includes('ready to accept connections')) resolve()
    })
    server.once('close', () => reject(new Error(`postgres has ended: ${said}`)))
  })
  await ready
  return { process: server, url: `postgres://retrap@127.0.0.1:${port}/postgres` }
}

/** Kills a process as a host that vanishes does; what PostgreSQL has started ends by itself soon after it. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Starts a server until its place is free: processes of a killed PostgreSQL hold its memory for a moment. */
export async function restarted(start: () => Promise<QueueServerProcess>): Promise<QueueServerProcess> {
  for (let left = 40; ; left--) {
    try {
      return await start()
    } catch (error) {
      if (left === 0) throw error
      await setTimeout(250)
    }
  }
}
