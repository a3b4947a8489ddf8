import { Transform, type TransformCallback } from 'node:stream'
import { STDIO_DEFAULT_MAX_BUFFER_SIZE } from '@modelcontextprotocol/server'

const NEWLINE = 0x0a
/** So much of both ends of a frame is looked at for its id. */
const ENDS_BYTES = 512
const ID = String.raw`"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")`
const FIRST_ID = new RegExp(String.raw`^\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*${ID}`)
const LAST_ID = new RegExp(String.raw`${ID}\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$`)

/**
 * Passes on frames (lines), each whole. The protocol's own reader ends the server at a frame that is too long; such a frame is
 * dropped here.
 *
 * @param refuse - takes the error reply of a frame that was dropped
 */
export function frameLines(refuse: (reply: string) => void): Transform {
  let parts: Buffer[] = []
  let length = 0
  let ends: readonly [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)]
  const add = (part: Buffer): void => {
    const before = length
    length += part.length
    if (length <= STDIO_DEFAULT_MAX_BUFFER_SIZE) {
      parts.push(part)
      return
    }
    if (before <= STDIO_DEFAULT_MAX_BUFFER_SIZE) {
      const whole = Buffer.concat(parts)
      ends = [Buffer.from(whole.subarray(0, ENDS_BYTES)), whole.subarray(-ENDS_BYTES)]
      parts = []
    }
    ends = [ends[0], Buffer.from(Buffer.concat([ends[1], part]).subarray(-ENDS_BYTES))]
  }
  return new Transform({
    transform(this: Transform, chunk: Buffer, _: BufferEncoding, done: TransformCallback) {
      for (let at = 0; at < chunk.length;) {
        const newline = chunk.indexOf(NEWLINE, at)
        const end = newline < 0 ? chunk.length : newline + 1
        add(chunk.subarray(at, end))
        at = end
        if (newline < 0) break
        if (length <= STDIO_DEFAULT_MAX_BUFFER_SIZE) this.push(Buffer.concat(parts))
        else refuse(replyTo(ends))
        parts = []
        length = 0
      }
      done()
    },
  })
}

function replyTo([first, last]: readonly [Buffer, Buffer]): string {
  const [, id = 'null'] = FIRST_ID.exec(first.toString()) ?? LAST_ID.exec(last.toString()) ?? []
  const message = `a message of more than ${STDIO_DEFAULT_MAX_BUFFER_SIZE} bytes is refused`
  // JSON-RPC 2.0, "Error object": -32600 is Invalid Request.
  return `{"jsonrpc":"2.0","id":${id},"error":{"code":-32600,"message":"${message}"}}\n`
}
