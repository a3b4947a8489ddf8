/** A Worker of this process that compiles hot code of its machines, so that they do not stand still for it. */
import { availableParallelism } from 'node:os'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { CompileHelper, HelperAnswer, HelperPort } from '@retrap/engine'

const PROGRAM = import.meta.url.endsWith('.ts') ? '../compile-worker.ts' : './compile-worker.js'

let worker: Worker | undefined

function start(): Worker {
  const started = new Worker(new URL(PROGRAM, import.meta.url), { name: 'retrap compiler' })
  // A machine that has ended waits for no code.
  started.unref()
  const ended = (): void => {
    if (worker === started) worker = undefined
  }
  started.on('error', ended).on('exit', ended).setMaxListeners(0)
  return started
}

const helper: CompileHelper = {
  connect(hear, failed): HelperPort {
    worker ??= start()
    worker.on('error', failed).on('exit', failed)
    const { port1, port2 } = new MessageChannel()
    worker.postMessage(port2, [port2])
    return {
      post: (message) => port1.postMessage(message),
      look() {
        for (let got = receiveMessageOnPort(port1); got !== undefined; got = receiveMessageOnPort(port1))
          hear(got.message as HelperAnswer)
      },
    }
  },
}

/**
 * Returns the compile helper for machines of this process; undefined where their thread has the host's only processor.
 *
 * @param placesBefore - see {@link CompileHelper.placesBefore}
 */
export function compileHelper(placesBefore = 0): CompileHelper | undefined {
  return availableParallelism() > 1 ? { ...helper, placesBefore } : undefined
}
