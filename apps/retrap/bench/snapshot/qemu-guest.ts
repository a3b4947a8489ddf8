// The same on QEMU: saves and goes on by the commands of its monitor, to an empty image.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { runProgram } from '../../test/support/processes.ts'
import { MAIN } from '../jit/peers.ts'
import { DEADLINE_MS, type Figures, type LinuxGuest, QEMU } from './peers.ts'

/** @param folder - where the image is made */
export async function qemuFigures(folder: string, guest: LinuxGuest, rounds: number): Promise<Figures> {
  const { kernel, initrd, mebibytes, commandLine, prompt } = guest
  const image = join(folder, 'state.qcow2')
  const create = [MAIN, 'image', 'create', '-f', 'qcow2', image, '1G']
  const made = await runProgram(process.execPath, create, { deadlineMs: DEADLINE_MS })
  if (made.code !== 0) throw new Error(`image create ended with ${made.code}: ${made.stderr}`)
  const before = (await stat(image)).size
  const monitor = join(folder, 'monitor')
  const child = spawn(
    QEMU,
    // prettier-ignore
    ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(mebibytes), '-nodefaults', '-display', 'none', '-serial', 'stdio',
      '-monitor', `unix:${monitor},server=on,wait=off`, '-drive', `if=none,id=state,format=qcow2,file=${image}`,
      '-kernel', kernel, '-initrd', initrd, '-append', commandLine],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  try {
    let printed = ''
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code) => reject(new Error(`${QEMU} ended with ${code}:\n${printed}`)))
      child.stdout.on('data', (bytes: Buffer) => {
        printed += bytes.toString('latin1')
        if (printed.endsWith(prompt)) resolve()
      })
    })
    const socket = connect(monitor)
    await once(socket, 'connect')
    await answer(socket, '')
    const figures = { save: [] as number[], restore: [] as number[] }
    for (const [name, times] of [
      ['savevm', figures.save],
      ['loadvm', figures.restore],
    ] as const) {
      for (let i = 0; i < rounds; i++) {
        const begun = performance.now()
        const said = await answer(socket, `${name} state\n`)
        times.push(performance.now() - begun)
        if (/error/i.test(said)) throw new Error(`${name}: ${said}`)
      }
    }
    socket.destroy()
    return { ...figures, bytes: (await stat(image)).size - before }
  } finally {
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
  }
}

/** Sends a command to the monitor. @returns what it says up to its next prompt */
function answer(socket: Socket, command: string): Promise<string> {
  return new Promise((resolve) => {
    let said = ''
    const take = (bytes: Buffer): void => {
      said += bytes.toString('latin1')
      if (!said.endsWith('(qemu) ')) return
      socket.off('data', take)
      resolve(said)
    }
    socket.on('data', take)
    if (command !== '') socket.write(command)
  })
}
