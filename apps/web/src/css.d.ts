declare module '*.css'
declare module '*.ts?raw' {
  const text: string
  export default text
}
declare module '*.svg' {
  const address: string
  export default address
}
