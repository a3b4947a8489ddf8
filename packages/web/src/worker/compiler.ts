// The compiler of another Worker's machine. Loaded on demand.
import { CompileServer, type HelperMessage, type OpenEmitter, openX86Emitter } from '@retrap/x86-cpu'

const openArmEmitter: OpenEmitter = async (kind) => (await import('./arm-board.ts')).openArmEmitter(kind)

/** Compiles for the Worker at the other end of a port. */
export function serveCompiler(port: MessagePort): void {
  const openers = { x86: openX86Emitter, arm64: openArmEmitter }
  const server = new CompileServer(openers, (answer) => port.postMessage(answer))
  port.addEventListener('message', ({ data }: MessageEvent<HelperMessage>) => server.receive(data))
  port.start()
}
