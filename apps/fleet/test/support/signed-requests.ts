/** Signatures of requests as AWS has them, computed from its specification: "Signature Calculations for the Authorization Header". */
import { createHash, createHmac } from 'node:crypto'
import { createServer, request as send, type Server } from 'node:http'

export interface SignedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** The signature that a request has to have: 64 hexadecimal digits. */
export function signatureOf({ method, url, headers }: SignedRequest, secret: string): string {
  const [, scope = '', signed = ''] =
    /Credential=[^/]+\/([^,]+), ?SignedHeaders=([^,]+)/.exec(headers['authorization'] ?? '') ?? []
  const [path = '', query = ''] = url.split('?')
  const parameters = query === '' ? [] : query.split('&').map((one) => (one.includes('=') ? one : `${one}=`))
  const canonical = [
    ...[method, path, parameters.toSorted().join('&')],
    ...signed.split(';').map((name) => `${name}:${(headers[name] ?? '').trim()}`),
    ...['', signed, headers['x-amz-content-sha256'] ?? ''],
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'] ?? '', scope, sha256(canonical)].join('\n')
  const key = scope.split('/').reduce<string | Buffer>((before, part) => hmac(before, part), `AWS4${secret}`)
  return hmac(key, toSign).toString('hex')
}

/** A server that lets only requests through to another one whose signature and whose body's hash are right. */
export function checkingServer(target: number, secret: string): Server {
  return createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '' } = request
      const headers = request.headers as Record<string, string>
      const body = Buffer.concat(chunks)
      const isSigned = headers['authorization']?.endsWith(`Signature=${signatureOf({ method, url, headers }, secret)}`)
      if (isSigned !== true || headers['x-amz-content-sha256'] !== sha256(body)) {
        response.writeHead(403).end()
        return
      }
      const on = send({ port: target, host: '127.0.0.1', method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      on.end(body)
    })
  })
}
