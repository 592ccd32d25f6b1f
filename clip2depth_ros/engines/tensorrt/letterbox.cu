// SPDX-License-Identifier: Apache-2.0
// The letterbox on the GPU: an image of any size into the network's input, a thread for each pixel of the input.
// letterbox.ptx is this file compiled; `python cmake/letterbox_ptx.py` writes it again.
//
// image (., width, 3) and out (net_height, net_width, 3): uint8 RGB. The image fills inner_width x inner_height pixels
// from (left, top) on, each the weighted sum of row_taps x column_taps pixels; the rest is `border`, 0xBBGGRR.
// rows, row_weights (inner_height, row_taps) and columns, column_weights (inner_width, column_taps): device_fit.taps.

extern "C" __global__ void letterbox(const unsigned char *__restrict__ image, unsigned char *__restrict__ out, int width,
                                     int net_width, int net_height, int left, int top, int inner_width,
                                     int inner_height, const int *__restrict__ rows,
                                     const float *__restrict__ row_weights, int row_taps,
                                     const int *__restrict__ columns, const float *__restrict__ column_weights,
                                     int column_taps, unsigned int border) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= net_width || y >= net_height) return;
    unsigned char *pixel = out + 3 * ((long long)y * net_width + x);
    const int i = y - top, j = x - left;
    if (i < 0 || i >= inner_height || j < 0 || j >= inner_width) {
        pixel[0] = border & 255;
        pixel[1] = border >> 8 & 255;
        pixel[2] = border >> 16 & 255;
        return;
    }
    float red = 0, green = 0, blue = 0;
    for (int k = 0; k < row_taps; ++k) {
        const float row_weight = row_weights[i * row_taps + k];
        const unsigned char *line = image + 3LL * rows[i * row_taps + k] * width;
        for (int l = 0; l < column_taps; ++l) {
            const float weight = row_weight * column_weights[j * column_taps + l];
            const unsigned char *source = line + 3 * columns[j * column_taps + l];
            red += weight * source[0];
            green += weight * source[1];
            blue += weight * source[2];
        }
    }
    pixel[0] = (unsigned char)fminf(rintf(red), 255.0f);
    pixel[1] = (unsigned char)fminf(rintf(green), 255.0f);
    pixel[2] = (unsigned char)fminf(rintf(blue), 255.0f);
}
