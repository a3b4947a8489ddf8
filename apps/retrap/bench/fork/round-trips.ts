// How long a command takes that does nothing, from the call to its exit code, by the agent of `@retrap/guest` at the guest's
// second serial port: in retrap, and in QEMU, where the port is a Unix socket.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { AGENT, connectGuest, type GuestPort } from '@retrap/guest'
import { createPc } from '@retrap/machine'
import { DEADLINE_MS, type LinuxGuest, QEMU } from '../snapshot/peers.ts'

export const AGENT_IN_GUEST = { script: AGENT, port: '/dev/ttyS1' }
/** The first commands have the guest read the programs that others use too. */
const WARM_UP = 10
const PATIENT = { connectTimeoutMs: DEADLINE_MS, answerTimeoutMs: DEADLINE_MS }

async function roundTripsAt(port: GuestPort, rounds: number): Promise<number[]> {
  const guest = await connectGuest(port, PATIENT)
  const times: number[] = []
  for (let i = 0; i < WARM_UP + rounds; i++) {
    const begun = performance.now()
    const { exitCode } = await guest.exec('exit 7')
    if (exitCode !== 7) throw new Error(`a command ended with ${exitCode} instead of 7`)
    if (i >= WARM_UP) times.push(performance.now() - begun)
  }
  guest.close()
  return times
}

/** @returns milliseconds */
export async function retrapRoundTrips(guest: LinuxGuest, rounds: number): Promise<number[]> {
  const { kernel, initrd, mebibytes, commandLine } = guest
  const pc = await createPc({
    memoryBytes: mebibytes << 20,
    jit: true,
    serialPorts: 2,
    kernel: new Uint8Array(await readFile(kernel)),
    initrd: new Uint8Array(await readFile(initrd)),
    commandLine,
  })
  const end = new AbortController()
  const running = pc.run({ signal: end.signal })
  try {
    return await roundTripsAt(pc.serialPorts[1]!, rounds)
  } finally {
    end.abort()
    await running
    pc.close()
  }
}

/** @param folder - where the socket is made @returns milliseconds */
export async function qemuRoundTrips(folder: string, guest: LinuxGuest, rounds: number): Promise<number[]> {
  const { kernel, initrd, mebibytes, commandLine } = guest
  const path = join(folder, 'agent')
  const child = spawn(
    QEMU,
    // prettier-ignore
    ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(mebibytes), '-nodefaults', '-display', 'none', '-serial', 'null',
      '-serial', `unix:${path},server=on,wait=on`, '-kernel', kernel, '-initrd', initrd, '-append', commandLine],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  try {
    // QEMU says where it waits for the other end of the socket.
    await once(child.stderr, 'data')
    const socket = connect(path)
    await once(socket, 'connect')
    // QEMU is killed at the end: nobody waits for the connection then.
    const lost = new Promise<never>((_resolve, reject) => socket.on('error', reject))
    lost.catch(() => undefined)
    const trips = roundTripsAt(
      {
        onTransmit: (listener) => socket.on('data', listener),
        receive: (bytes) => socket.write(bytes),
        onDrain: (listener) => socket.on('drain', listener),
      },
      rounds,
    )
    return await Promise.race([trips, lost])
  } finally {
    child.kill('SIGKILL')
  }
}
